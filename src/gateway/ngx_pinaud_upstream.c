
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What became of a request: what Pinterest answered, or nginx itself, is its
 * outcome, and what is not Pinterest's to tell is turned into a problem.
 */


#include "ngx_pinaud.h"


static void ngx_pinaud_upstream_settle(ngx_pinaud_record_t *record);
static ngx_uint_t ngx_pinaud_upstream_sent(ngx_pinaud_record_t *record);
static ngx_uint_t ngx_pinaud_upstream_whole(ngx_http_request_t *r);
static void ngx_pinaud_upstream_clean(ngx_http_request_t *r);
static void ngx_pinaud_upstream_hide(ngx_http_request_t *r, const char *name,
    size_t len);


ngx_int_t
ngx_pinaud_upstream_error(ngx_pinaud_record_t *record)
{
    ngx_uint_t           status;
    ngx_http_request_t  *r;

    r = record->request;
    status = r->headers_out.status;

    if (status < NGX_HTTP_BAD_REQUEST) {
        record->outcome = NGX_PINAUD_ERROR;
        record->told = 1;
        return NGX_OK;
    }

    if (status == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        return ngx_pinaud_answer_replace(record, PINAUD_PROBLEM_TOO_LARGE, 0,
                                         NULL);
    }

    if (record->refused && r->headers_out.www_authenticate == NULL) {

        /* Pinterest's 401, of which nginx would make a page of its own */

        return ngx_pinaud_answer_replace(record,
                                         PINAUD_PROBLEM_CREDENTIAL_UNAVAILABLE,
                                         0, NULL);
    }

    if (ngx_pinaud_upstream_sent(record)) {
        return ngx_pinaud_answer_replace(record,
                                         PINAUD_PROBLEM_OUTCOME_UNKNOWN, 0,
                                         NULL);
    }

    if (record->sent && (status == NGX_HTTP_BAD_GATEWAY
                         || status == NGX_HTTP_GATEWAY_TIME_OUT))
    {
        return ngx_pinaud_answer_replace(record,
                                         PINAUD_PROBLEM_UPSTREAM_UNREACHABLE,
                                         0, NULL);
    }

    return ngx_pinaud_answer_replace(record, PINAUD_PROBLEM_INTERNAL, status,
                                     NULL);
}


ngx_int_t
ngx_pinaud_upstream_answer(ngx_pinaud_record_t *record)
{
    ngx_uint_t               status;
    ngx_http_request_t      *r;
    ngx_pinaud_main_conf_t  *pmcf;

    r = record->request;
    status = r->upstream->headers_in.status_n;

    if (status == NGX_HTTP_UNAUTHORIZED) {

        /* the token was refused, which the caller can do nothing about */

        ngx_pinaud_upstream_401(record);
        ngx_pinaud_upstream_clean(r);

        r->err_status = 0;

        return ngx_pinaud_answer_replace(record,
                                         PINAUD_PROBLEM_CREDENTIAL_UNAVAILABLE,
                                         0, NULL);
    }

    if (status == 0) {

        /* no HTTP at all, which nginx takes for HTTP/0.9 */

        r->http_version = record->http_version;

        return ngx_pinaud_answer_replace(record,
                                         PINAUD_PROBLEM_OUTCOME_UNKNOWN, 0,
                                         NULL);
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_pinaud_module);

    ngx_pinaud_zone_response(ngx_pinaud_zone(pmcf), status);

    if (record->version > record->policy->worked[!record->write]
        && status < NGX_HTTP_INTERNAL_SERVER_ERROR)
    {
        ngx_pinaud_renew_worked(record);
    }

    ngx_pinaud_cooldown_learn(record);
    ngx_pinaud_upstream_clean(r);

    record->outcome = NGX_PINAUD_FORWARDED;
    record->should_retry = (status == NGX_HTTP_TOO_MANY_REQUESTS);
    record->told = 1;

    if (record->write) {
        record->held = 1;
        record->held_last = &record->held_bufs;
    }

    return NGX_OK;
}


/*
 * Pinterest refused the token before it executed anything: the charge is given
 * back, and what the limits told is not so any more. Its challenge, which
 * nginx carries over when it intercepts the answer, is not for the caller.
 */

void
ngx_pinaud_upstream_401(ngx_pinaud_record_t *record)
{
    ngx_http_request_t      *r;
    ngx_pinaud_main_conf_t  *pmcf;

    r = record->request;
    pmcf = ngx_http_get_module_main_conf(r, ngx_pinaud_module);

    record->refused = 1;
    record->nlimits = 0;

    ngx_pinaud_zone_response(ngx_pinaud_zone(pmcf), NGX_HTTP_UNAUTHORIZED);

    if (record->charged) {
        record->charged = 0;
        ngx_pinaud_refund(pmcf, record->policy, &record->charge);
    }

    ngx_pinaud_outage_unspend(record);
    ngx_pinaud_upstream_hide(r, "WWW-Authenticate", 16);
    r->headers_out.www_authenticate = NULL;

    ngx_pinaud_renew_want(record);
}


ngx_int_t
ngx_pinaud_log_handler(ngx_http_request_t *r)
{
    ngx_pinaud_record_t     *record;
    ngx_pinaud_main_conf_t  *pmcf;

    /* "log_subrequest" brings subrequests here, which settle nothing */

    record = (r == r->main) ? ngx_pinaud_record(r) : NULL;

    if (record == NULL) {
        return NGX_OK;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_pinaud_module);

    ngx_pinaud_upstream_settle(record);

    if (!ngx_pinaud_upstream_sent(record)) {

        if (record->charged) {
            record->charged = 0;
            ngx_pinaud_refund(pmcf, record->policy, &record->charge);
        }

        ngx_pinaud_outage_unspend(record);
    }

    ngx_pinaud_zone_count(ngx_pinaud_zone(pmcf), record->operation,
                          record->outcome);

    return NGX_OK;
}


/* What no header filter saw. */

static void
ngx_pinaud_upstream_settle(ngx_pinaud_record_t *record)
{
    ngx_http_request_t  *r;

    r = record->request;

    if (record->told) {

        if (record->outcome == NGX_PINAUD_FORWARDED
            && !ngx_pinaud_upstream_whole(r))
        {
            record->outcome = NGX_PINAUD_UNKNOWN;
        }

        return;
    }

    if (record->refused) {
        record->outcome = NGX_PINAUD_NO_CREDENTIAL;

    } else {
        record->outcome = ngx_pinaud_upstream_sent(record)
                          ? NGX_PINAUD_UNKNOWN : NGX_PINAUD_ABANDONED;
    }
}


/* Whether any byte of the last attempt may have reached Pinterest. */

static ngx_uint_t
ngx_pinaud_upstream_sent(ngx_pinaud_record_t *record)
{
    ngx_uint_t                  i;
    ngx_array_t                *states;
    ngx_http_upstream_state_t  *state;

    states = record->request->upstream_states;

    if (!record->sent || states == NULL) {
        return 0;
    }

    state = states->elts;

    for (i = record->attempts; i < states->nelts; i++) {
        if (state[i].bytes_sent) {
            return 1;
        }
    }

    return 0;
}


/* Whether all of Pinterest's answer came, by nginx's own account of it. */

static ngx_uint_t
ngx_pinaud_upstream_whole(ngx_http_request_t *r)
{
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (!u->buffering) {
        return u->length == 0 || u->length == -1;
    }

    p = u->pipe;

    return p->upstream_done || p->length == 0
           || (p->upstream_eof && p->length == -1);
}


/* Takes off cookies, and what only the gateway itself may say. */

static void
ngx_pinaud_upstream_clean(ngx_http_request_t *r)
{
    ngx_table_elt_t    *h;
    ngx_pinaud_walk_t   walk;

    ngx_pinaud_walk(&walk, &r->headers_out.headers);

    while ((h = ngx_pinaud_walk_next(&walk)) != NULL) {

        if (h->key.len == 0) {
            continue;
        }

        switch (h->key.data[0] | 0x20) {

        case 's':

            if (ngx_pinaud_walk_is(h, "Set-Cookie", 10)) {
                h->hash = 0;
            }

            break;

        case 'p':

            if (h->key.len > 7
                && ngx_strncasecmp(h->key.data, (u_char *) "Pinaud-", 7) == 0)
            {
                h->hash = 0;
            }

            break;

        case 'r':

            if (ngx_pinaud_walk_is(h, "RateLimit", 9)
                || ngx_pinaud_walk_is(h, "RateLimit-Policy", 16))
            {
                h->hash = 0;
            }

            break;

        default:
            break;
        }
    }
}


static void
ngx_pinaud_upstream_hide(ngx_http_request_t *r, const char *name, size_t len)
{
    ngx_table_elt_t    *h;
    ngx_pinaud_walk_t   walk;

    ngx_pinaud_walk(&walk, &r->headers_out.headers);

    while ((h = ngx_pinaud_walk_next(&walk)) != NULL) {

        if (ngx_pinaud_walk_is(h, name, len)) {
            h->hash = 0;
        }
    }
}
