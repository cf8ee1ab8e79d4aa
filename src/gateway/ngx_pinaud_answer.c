
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Answers of our own: refusals, and what a dry run tells. They are sent from
 * here, so that no error_page catches them.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_ACT_AFTER  300          /* s: until a person has acted */
#define NGX_PINAUD_SPREAD     10           /* s: after Pinterest's own limit */


static ngx_int_t ngx_pinaud_refuse_quota(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_answer_send(ngx_pinaud_record_t *record,
    ngx_uint_t status, ngx_str_t *text, ngx_uint_t problem);
static ngx_int_t ngx_pinaud_answer_text(ngx_http_request_t *r,
    json_t *document, ngx_str_t *text);
static void ngx_pinaud_answer_type(ngx_http_request_t *r, ngx_uint_t problem);
static json_t *ngx_pinaud_answer_violated(ngx_pinaud_record_t *record);
static void ngx_pinaud_answer_outcome(ngx_pinaud_record_t *record,
    pinaud_problem_e id);
static json_t *ngx_pinaud_answer_limits(ngx_pinaud_record_t *record);
static json_t *ngx_pinaud_answer_edits(ngx_pinaud_record_t *record);


/* The outcome and the seconds after which to come again, by problem. */

static const struct {
    ngx_pinaud_outcome_e  outcome;
    ngx_uint_t            retry_after;
} ngx_pinaud_answers[PINAUD_PROBLEMS] = {
    [PINAUD_PROBLEM_INVALID_BODY] = { NGX_PINAUD_INVALID, 0 },
    [PINAUD_PROBLEM_INVALID_PATH] = { NGX_PINAUD_INVALID, 0 },
    [PINAUD_PROBLEM_UNKNOWN_CALLER] = { NGX_PINAUD_UNAUTHENTICATED, 0 },
    [PINAUD_PROBLEM_FORBIDDEN] = { NGX_PINAUD_FORBIDDEN, 0 },
    [PINAUD_PROBLEM_NOT_FOUND] = { NGX_PINAUD_UNMATCHED, 0 },
    [PINAUD_PROBLEM_METHOD_NOT_ALLOWED] = { NGX_PINAUD_UNMATCHED, 0 },
    [PINAUD_PROBLEM_TOO_LARGE] = { NGX_PINAUD_INVALID, 0 },
    [PINAUD_PROBLEM_UNSUPPORTED_MEDIA_TYPE] = { NGX_PINAUD_INVALID, 0 },
    [PINAUD_PROBLEM_QUOTA_EXCEEDED] = { NGX_PINAUD_OVER_QUOTA, 1 },
    [PINAUD_PROBLEM_UPSTREAM_UNREACHABLE] = { NGX_PINAUD_NOT_SENT, 1 },
    [PINAUD_PROBLEM_OUTCOME_UNKNOWN] = { NGX_PINAUD_UNKNOWN, 0 },
    [PINAUD_PROBLEM_CREDENTIAL_UNAVAILABLE] = { NGX_PINAUD_NO_CREDENTIAL,
                                                5 },
    [PINAUD_PROBLEM_STORE_UNAVAILABLE] = { NGX_PINAUD_STORE_DOWN, 1 },
    [PINAUD_PROBLEM_INTERNAL] = { NGX_PINAUD_ERROR, 0 }
};


ngx_int_t
ngx_pinaud_refuse(ngx_pinaud_record_t *record, pinaud_problem_e id,
    const char *detail, pinaud_audience_verdict_t *verdict)
{
    json_t     *document;
    ngx_str_t   text;

    ngx_pinaud_answer_outcome(record, id);

    document = pinaud_problem_document(id, 0, detail,
                                       (char *) record->request_id.data,
                                       record->request_id.len, verdict);

    if (ngx_pinaud_answer_text(record->request, document, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_pinaud_answer_send(record, pinaud_problem(id)->status, &text,
                                  1);
}


ngx_int_t
ngx_pinaud_refuse_admission(ngx_pinaud_record_t *record)
{
    ngx_uint_t            i;
    ngx_msec_t            reset;
    ngx_pinaud_limit_t   *limit;

    switch (record->verdict) {

    case NGX_PINAUD_REFUSED_QUOTA:

        reset = 1;

        for (i = 0; i < record->nlimits; i++) {
            limit = &record->limits[i];

            if (limit->violated) {
                reset = ngx_max(reset, limit->reset);
            }
        }

        record->retry_after = (reset + 999) / 1000;

        if (record->limits[0].bucket == NGX_PINAUD_COOLDOWN) {

            /* all callers of all gateways wait for this one moment */

            record->retry_after += ngx_random() % NGX_PINAUD_SPREAD;
        }

        return ngx_pinaud_refuse_quota(record);

    case NGX_PINAUD_REFUSED_CALLER:
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_UNKNOWN_CALLER, NULL,
                                 NULL);

    case NGX_PINAUD_REFUSED_FORBIDDEN:
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_FORBIDDEN, NULL, NULL);

    case NGX_PINAUD_REFUSED_NO_CREDENTIAL:
    case NGX_PINAUD_REFUSED_UNREADABLE:

        record->unattended = 1;

        /* fall through */

    case NGX_PINAUD_REFUSED_EXPIRED:
    case NGX_PINAUD_REFUSED_REVOKED:
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_CREDENTIAL_UNAVAILABLE,
                                 NULL, NULL);

    default:
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_STORE_UNAVAILABLE,
                                 NULL, NULL);
    }
}


/* Floods of these come: see ngx_pinaud_turn_text(). */

static ngx_int_t
ngx_pinaud_refuse_quota(ngx_pinaud_record_t *record)
{
    json_t     *document;
    ngx_str_t   text;

    ngx_pinaud_answer_outcome(record, PINAUD_PROBLEM_QUOTA_EXCEEDED);

    if (ngx_pinaud_turn_text(record, &text) != NGX_OK) {

        document = pinaud_problem_document(PINAUD_PROBLEM_QUOTA_EXCEEDED, 0,
                                           NULL,
                                           (char *) record->request_id.data,
                                           record->request_id.len, NULL);

        if (document && json_object_set_new(document, "violated-policies",
                                           ngx_pinaud_answer_violated(record))
                        != 0)
        {
            json_decref(document);
            document = NULL;
        }

        if (ngx_pinaud_answer_text(record->request, document, &text)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_pinaud_turn_keep_text(record, &text);
    }

    return ngx_pinaud_answer_send(record, NGX_HTTP_TOO_MANY_REQUESTS, &text,
                                  1);
}


/* The body is told as the very bytes that would go: numbers keep digits. */

ngx_int_t
ngx_pinaud_answer_dry_run(ngx_pinaud_record_t *record)
{
    u_char     *p;
    json_t     *document;
    ngx_str_t   rest, text;

    static const char  head[] = "{\"would\":\"forwarded\",\"body\":";

    record->outcome = NGX_PINAUD_DRY_RUN;
    record->told = 1;

    document = json_pack("{s:o, s:o}",
                         "edits", ngx_pinaud_answer_edits(record),
                         "limits", ngx_pinaud_answer_limits(record));

    if (ngx_pinaud_answer_text(record->request, document, &rest) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = ngx_pnalloc(record->request->pool,
                    sizeof(head) - 1 + record->body.len + rest.len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = p;

    p = ngx_cpymem(p, head, sizeof(head) - 1);
    p = ngx_cpymem(p, record->body.data, record->body.len);
    *p++ = ',';
    p = ngx_cpymem(p, rest.data + 1, rest.len - 1);

    text.len = p - text.data;

    return ngx_pinaud_answer_send(record, NGX_HTTP_OK, &text, 0);
}


ngx_int_t
ngx_pinaud_answer_replace(ngx_pinaud_record_t *record, pinaud_problem_e id,
    ngx_uint_t status, const char *detail)
{
    json_t              *document;
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = record->request;

    ngx_pinaud_answer_outcome(record, id);

    document = pinaud_problem_document(id, status, detail,
                                       (char *) record->request_id.data,
                                       record->request_id.len, NULL);

    rc = ngx_pinaud_answer_text(r, document, &record->problem);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    r->headers_out.status = status ? status : pinaud_problem(id)->status;
    ngx_str_null(&r->headers_out.status_line);

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    r->headers_out.content_length_n = record->problem.len;
    ngx_pinaud_answer_type(r, 1);

    record->replace = 1;

    return NGX_OK;
}


static void
ngx_pinaud_answer_outcome(ngx_pinaud_record_t *record, pinaud_problem_e id)
{
    record->outcome = ngx_pinaud_answers[id].outcome;

    if (id == PINAUD_PROBLEM_CREDENTIAL_UNAVAILABLE
        && (record->unattended || ngx_pinaud_renew_unattended(record)))
    {
        /* waiting does not cure it */

        record->unattended = 1;
        record->retry_after = NGX_PINAUD_ACT_AFTER;
    }

    record->should_retry = pinaud_problem(id)->retry && !record->unattended;
    record->told = 1;

    if (record->retry_after == 0) {
        record->retry_after = ngx_pinaud_answers[id].retry_after;
    }
}


static ngx_int_t
ngx_pinaud_answer_send(ngx_pinaud_record_t *record, ngx_uint_t status,
    ngx_str_t *text, ngx_uint_t problem)
{
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_chain_t          out;
    ngx_http_request_t  *r;

    r = record->request;

    /* a body that was not asked for is not asked for now */

    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    record->own = 1;

    r->err_status = 0;
    r->headers_out.status = status;
    r->headers_out.content_length_n = text->len;
    ngx_pinaud_answer_type(r, problem);

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


/* Prints the document into the request's pool and lets go of it. */

static ngx_int_t
ngx_pinaud_answer_text(ngx_http_request_t *r, json_t *document,
    ngx_str_t *text)
{
    size_t  len;

    if (document == NULL) {
        return NGX_ERROR;
    }

    len = json_dumpb(document, NULL, 0, JSON_COMPACT);

    text->data = len ? ngx_pnalloc(r->pool, len + 1) : NULL;

    if (text->data) {
        (void) json_dumpb(document, (char *) text->data, len, JSON_COMPACT);
        text->data[len] = LF;
        text->len = len + 1;
    }

    json_decref(document);

    return text->data ? NGX_OK : NGX_ERROR;
}


static void
ngx_pinaud_answer_type(ngx_http_request_t *r, ngx_uint_t problem)
{
    if (problem && !ngx_pinaud_accept_json(r)) {
        ngx_str_set(&r->headers_out.content_type, "application/problem+json");

    } else {
        ngx_str_set(&r->headers_out.content_type, "application/json");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);
}


static json_t *
ngx_pinaud_answer_violated(ngx_pinaud_record_t *record)
{
    u_char              *last, name[NGX_PINAUD_LIMIT_NAME_MAX];
    json_t              *violated;
    ngx_uint_t           i;
    ngx_pinaud_limit_t  *limit;

    violated = json_array();

    for (i = 0; i < record->nlimits; i++) {
        limit = &record->limits[i];

        if (limit->violated) {
            last = ngx_pinaud_limit_name(name, limit);
            (void) json_array_append_new(violated,
                       json_stringn((char *) name, last - name));
        }
    }

    return violated;
}


static json_t *
ngx_pinaud_answer_limits(ngx_pinaud_record_t *record)
{
    u_char              *last, name[NGX_PINAUD_LIMIT_NAME_MAX];
    json_t              *limits;
    ngx_uint_t           i;
    ngx_pinaud_limit_t  *limit;

    limits = json_array();

    for (i = 0; i < record->nlimits; i++) {
        limit = &record->limits[i];
        last = ngx_pinaud_limit_name(name, limit);

        (void) json_array_append_new(limits,
                   json_pack("{s:s%, s:i, s:i, s:i, s:i}",
                             "name", name, (size_t) (last - name),
                             "limit", (int) limit->n,
                             "window", (int) limit->window,
                             "remaining", (int) limit->remaining,
                             "reset", (int) ((limit->reset + 999) / 1000)));
    }

    return limits;
}


/* The same list as the field's, whose members are quoted pointers. */

static json_t *
ngx_pinaud_answer_edits(ngx_pinaud_record_t *record)
{
    u_char  *p, *last, *end;
    json_t  *edits;

    edits = json_array();

    p = record->edits.data;
    last = p + record->edits.len;

    while (p < last) {
        end = ngx_strlchr(p + 1, last, '"');

        (void) json_array_append_new(edits, json_stringn((char *) p + 1,
                                                         end - (p + 1)));
        p = end + sizeof("\", ") - 1;
    }

    return edits;
}
