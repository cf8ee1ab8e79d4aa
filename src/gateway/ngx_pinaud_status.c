
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The status document: for Prometheus (text format 0.0.4), as JSON, and as
 * the answer to a health check.
 */


#include "ngx_pinaud_zone.h"


#define NGX_PINAUD_TEXT_BUFFER  8192
#define NGX_PINAUD_TEXT_LINE    512        /* of one printed piece */

#define NGX_PINAUD_TEXT_PLAIN   "text/plain"
#define NGX_PINAUD_TEXT_TYPE    "text/plain; version=0.0.4; charset=utf-8"


/* A document that grows; "failed" is looked at once, at its end. */

typedef struct {
    ngx_pool_t              *pool;
    ngx_chain_t             *first;
    ngx_chain_t            **last;
    ngx_buf_t               *buf;
    off_t                    size;
    ngx_uint_t               failed;
} ngx_pinaud_text_t;


static ngx_int_t ngx_pinaud_status_send(ngx_http_request_t *r,
    ngx_pinaud_text_t *text);

static void ngx_pinaud_status_outage(ngx_pinaud_text_t *text,
    ngx_pinaud_main_conf_t *pmcf);
static void ngx_pinaud_status_prometheus(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters, ngx_uint_t up);
static void ngx_pinaud_status_admission(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters);
static void ngx_pinaud_status_responses(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters);
static void ngx_pinaud_status_credentials(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters);
static void ngx_pinaud_status_fact(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters, ngx_pinaud_fact_e fact, time_t from,
    const char *metric, const char *help);
static void ngx_pinaud_status_named(ngx_pinaud_text_t *text,
    const char *metric, const char *label, ngx_pinaud_named_t *entry,
    ngx_atomic_uint_t value);
static void ngx_pinaud_status_family(ngx_pinaud_text_t *text,
    const char *metric, const char *type, const char *help);

static int ngx_pinaud_status_write(const char *buffer, size_t size,
    void *data);

static void ngx_cdecl ngx_pinaud_text_print(ngx_pinaud_text_t *text,
    const char *fmt, ...);
static void ngx_pinaud_text_label(ngx_pinaud_text_t *text, const u_char *p,
    size_t len);
static void ngx_pinaud_text_add(ngx_pinaud_text_t *text, const u_char *p,
    size_t len);


ngx_int_t
ngx_pinaud_status_handler(ngx_http_request_t *r)
{
    json_t                  *document;
    ngx_int_t                rc;
    ngx_uint_t               up;
    ngx_pinaud_text_t        text;
    ngx_pinaud_zone_t       *zone;
    ngx_pinaud_counters_t   *counters;
    ngx_pinaud_loc_conf_t   *plcf;
    ngx_pinaud_main_conf_t  *pmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_pinaud_module);
    plcf = ngx_http_get_module_loc_conf(r, ngx_pinaud_module);

    ngx_memzero(&text, sizeof(ngx_pinaud_text_t));
    text.pool = r->pool;
    text.last = &text.first;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.status = NGX_HTTP_OK;

    zone = ngx_pinaud_zone(pmcf);
    up = ngx_pinaud_zone_up(zone);

    if (plcf->status == NGX_PINAUD_STATUS_HEALTH) {

        if (!up) {
            r->headers_out.status = NGX_HTTP_SERVICE_UNAVAILABLE;
        }

        ngx_pinaud_text_print(&text, "{\"status\":\"%s\"}\n",
                              up ? "ok" : "store_down");

        return ngx_pinaud_status_send(r, &text);
    }

    counters = ngx_pinaud_zone_copy(zone, r->pool);
    if (counters == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (plcf->status == NGX_PINAUD_STATUS_PROMETHEUS) {
        ngx_str_set(&r->headers_out.content_type, NGX_PINAUD_TEXT_TYPE);
        r->headers_out.content_type_len = sizeof(NGX_PINAUD_TEXT_PLAIN) - 1;

        ngx_pinaud_status_prometheus(&text, counters, up);
        ngx_pinaud_status_outage(&text, pmcf);

        return ngx_pinaud_status_send(r, &text);
    }

    document = ngx_pinaud_status_document(counters, up);

    if (document == NULL
        || json_dump_callback(document, ngx_pinaud_status_write, &text,
                              JSON_COMPACT|JSON_REAL_PRECISION(15)) != 0)
    {
        text.failed = 1;
    }

    json_decref(document);

    ngx_pinaud_text_print(&text, "\n");

    return ngx_pinaud_status_send(r, &text);
}


static ngx_int_t
ngx_pinaud_status_send(ngx_http_request_t *r, ngx_pinaud_text_t *text)
{
    ngx_int_t  rc;
    ngx_str_t  no_store = ngx_string("no-store");

    if (text->failed
        || ngx_pinaud_field(r, "Cache-Control", &no_store) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text->buf->last_buf = (r == r->main) ? 1 : 0;
    text->buf->last_in_chain = 1;

    r->headers_out.content_length_n = text->size;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, text->first);
}


static void
ngx_pinaud_status_outage(ngx_pinaud_text_t *text,
    ngx_pinaud_main_conf_t *pmcf)
{
    ngx_uint_t  held, requests;

    ngx_pinaud_outage_count(pmcf, &held, &requests);

    ngx_pinaud_status_family(text, "pinaud_outage_requests_total", "counter",
                             "Requests that went on without the store.");
    ngx_pinaud_text_print(text, "pinaud_outage_requests_total %ui\n",
                          requests);

    ngx_pinaud_status_family(text, "pinaud_outage_allowance_requests", "gauge",
                             "Requests that could go on without the store.");
    ngx_pinaud_text_print(text, "pinaud_outage_allowance_requests %ui\n",
                          held);
}


static void
ngx_pinaud_status_prometheus(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters, ngx_uint_t up)
{
    ngx_uint_t  i, k;

    ngx_pinaud_status_family(text, "pinaud_build_info", "gauge",
                             "Versions, as labels; always 1.");
    ngx_pinaud_text_print(text, "pinaud_build_info{version=\"%s\","
                          "nginx=\"%s\"} 1\n",
                          NGX_PINAUD_VERSION, NGINX_VERSION);

    ngx_pinaud_status_family(text, "pinaud_store_up", "gauge",
                             "Whether all workers that asked reach Redis.");
    ngx_pinaud_text_print(text, "pinaud_store_up %ui\n", up);

    ngx_pinaud_status_family(text, "pinaud_store_errors_total", "counter",
                             "Failures of Redis, by reason.");

    for (i = 0; i < NGX_PINAUD_STORE_ERRORS; i++) {
        ngx_pinaud_status_named(text, "pinaud_store_errors_total", "reason",
                                &counters->store_errors[i].named,
                                counters->store_errors[i].value);
    }

    ngx_pinaud_status_family(text, "pinaud_requests_total", "counter",
                             "Requests, by what they asked for and what "
                             "became of them.");

    for (i = 0; i < NGX_PINAUD_OPERATIONS; i++) {
        for (k = 0; k < NGX_PINAUD_OUTCOMES; k++) {
            ngx_pinaud_text_print(text, "pinaud_requests_total{"
                                  "operation=\"%s\",outcome=\"%s\"} %uA\n",
                                  ngx_pinaud_operation_name(i),
                                  ngx_pinaud_outcome_name(k),
                                  counters->requests[i][k]);
        }
    }

    ngx_pinaud_status_family(text, "pinaud_would_refuse_total", "counter",
                             "Requests whose refusal was told and not "
                             "enforced.");

    for (i = 0; i < NGX_PINAUD_REPORTS; i++) {
        k = ngx_pinaud_reports[i];
        ngx_pinaud_text_print(text, "pinaud_would_refuse_total{"
                              "outcome=\"%s\"} %uA\n",
                              ngx_pinaud_outcome_name(k),
                              counters->would_refuse[k]);
    }

    ngx_pinaud_status_family(text, "pinaud_body_errors_total", "counter",
                             "Errors in bodies, by code.");

    for (i = 0; i < PINAUD_ERROR_CODES; i++) {
        ngx_pinaud_text_print(text, "pinaud_body_errors_total{code=\"%s\"}"
                              " %uA\n",
                              pinaud_error_name(i), counters->errors[i]);
    }

    ngx_pinaud_status_family(text, "pinaud_edits_total", "counter",
                             "Edits of bodies, by member.");

    for (i = 0; i < NGX_PINAUD_EDITS; i++) {
        ngx_pinaud_status_named(text, "pinaud_edits_total", "member",
                                &counters->edits[i].named,
                                counters->edits[i].value);
    }

    ngx_pinaud_status_admission(text, counters);
    ngx_pinaud_status_responses(text, counters);

    ngx_pinaud_status_credentials(text, counters);
}


/* Of credentials that are in use, what is known. */

static void
ngx_pinaud_status_credentials(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters)
{
    ngx_uint_t                i, k;
    ngx_pinaud_credential_t  *credential;

    ngx_pinaud_status_fact(text, counters, NGX_PINAUD_FACT_EXPIRES, 1,
                     "pinaud_credential_access_token_expiry_timestamp_seconds",
                     "When the access token expires, of credentials used "
                     "within the last hour.");

    ngx_pinaud_status_fact(text, counters, NGX_PINAUD_FACT_REFRESH_EXPIRES, 1,
                    "pinaud_credential_refresh_token_expiry_timestamp_seconds",
                    "When the refresh token expires, of credentials used "
                    "within the last hour.");

    ngx_pinaud_status_family(text, "pinaud_credential_state", "gauge",
                             "Whether a credential is in that state.");

    for (i = 0; i < NGX_PINAUD_CREDENTIALS; i++) {
        credential = &counters->credentials[i];

        if (!ngx_pinaud_zone_in_use(credential)
            || credential->facts[NGX_PINAUD_FACT_STATE] == 0)
        {
            continue;
        }

        for (k = NGX_PINAUD_STATE_OK; k < NGX_PINAUD_STATES; k++) {
            ngx_pinaud_text_print(text,
                                  "pinaud_credential_state{credential=\"");
            ngx_pinaud_text_label(text, credential->named.name,
                                  credential->named.len);
            ngx_pinaud_text_print(text, "\",state=\"%s\"} %d\n",
                         ngx_pinaud_state_name(k),
                         credential->facts[NGX_PINAUD_FACT_STATE] == k);
        }
    }

    ngx_pinaud_status_fact(text, counters, NGX_PINAUD_FACT_COOLDOWN,
                           ngx_time() + 1,
                           "pinaud_cooldown_end_timestamp_seconds",
                           "When Pinterest's own limit of a credential is "
                           "over, of those used up now.");
}


/* A time, where it is not before the given one. */

static void
ngx_pinaud_status_fact(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters, ngx_pinaud_fact_e fact, time_t from,
    const char *metric, const char *help)
{
    ngx_uint_t                i;
    ngx_pinaud_credential_t  *credential;

    ngx_pinaud_status_family(text, metric, "gauge", help);

    for (i = 0; i < NGX_PINAUD_CREDENTIALS; i++) {
        credential = &counters->credentials[i];

        if (ngx_pinaud_zone_in_use(credential)
            && (time_t) credential->facts[fact] >= from)
        {
            ngx_pinaud_status_named(text, metric, "credential",
                                    &credential->named,
                                    credential->facts[fact]);
        }
    }
}


static void
ngx_pinaud_status_admission(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  count;

    ngx_pinaud_status_family(text, "pinaud_admission_duration_seconds",
                             "histogram",
                             "What admissions took, waiting included.");

    count = 0;

    for (i = 0; i < NGX_PINAUD_BUCKETS; i++) {
        count += counters->admission[i];

        ngx_pinaud_text_print(text, "pinaud_admission_duration_seconds_bucket{"
                              "le=\"%s\"} %uA\n",
                              ngx_pinaud_buckets[i].le, count);
    }

    count += counters->admission[NGX_PINAUD_BUCKETS];

    ngx_pinaud_text_print(text, "pinaud_admission_duration_seconds_bucket{"
                          "le=\"+Inf\"} %uA\n", count);
    ngx_pinaud_text_print(text, "pinaud_admission_duration_seconds_sum "
                          "%uA.%06uA\n",
                          counters->admission_us / 1000000,
                          counters->admission_us % 1000000);
    ngx_pinaud_text_print(text, "pinaud_admission_duration_seconds_count "
                          "%uA\n", count);
}


static void
ngx_pinaud_status_responses(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters)
{
    ngx_uint_t  i;

    ngx_pinaud_status_family(text, "pinaud_upstream_responses_total",
                             "counter",
                             "Responses of Pinterest, by status code.");

    for (i = 0; i < NGX_PINAUD_STATUSES; i++) {

        if (counters->responses[i] == 0) {
            continue;
        }

        ngx_pinaud_text_print(text, "pinaud_upstream_responses_total{"
                              "code=\"%ui\"} %uA\n",
                              NGX_PINAUD_STATUS_MIN + i,
                              counters->responses[i]);
    }
}


static void
ngx_pinaud_status_named(ngx_pinaud_text_t *text, const char *metric,
    const char *label, ngx_pinaud_named_t *entry, ngx_atomic_uint_t value)
{
    if (entry->len == 0) {
        return;
    }

    ngx_pinaud_text_print(text, "%s{%s=\"", metric, label);
    ngx_pinaud_text_label(text, entry->name, entry->len);
    ngx_pinaud_text_print(text, "\"} %uA\n", value);
}


static void
ngx_pinaud_status_family(ngx_pinaud_text_t *text, const char *metric,
    const char *type, const char *help)
{
    ngx_pinaud_text_print(text, "# HELP %s %s\n# TYPE %s %s\n",
                          metric, help, metric, type);
}


static int
ngx_pinaud_status_write(const char *buffer, size_t size, void *data)
{
    ngx_pinaud_text_t  *text = data;

    ngx_pinaud_text_add(text, (const u_char *) buffer, size);

    return text->failed ? -1 : 0;
}


static void ngx_cdecl
ngx_pinaud_text_print(ngx_pinaud_text_t *text, const char *fmt, ...)
{
    u_char   piece[NGX_PINAUD_TEXT_LINE], *last;
    va_list  args;

    va_start(args, fmt);
    last = ngx_vslprintf(piece, piece + sizeof(piece), fmt, args);
    va_end(args);

    ngx_pinaud_text_add(text, piece, last - piece);
}


/* A label's value, with what the format asks to be escaped. */

static void
ngx_pinaud_text_label(ngx_pinaud_text_t *text, const u_char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {

        switch (p[i]) {

        case '\\':
            ngx_pinaud_text_add(text, (const u_char *) "\\\\", 2);
            break;

        case '"':
            ngx_pinaud_text_add(text, (const u_char *) "\\\"", 2);
            break;

        case '\n':
            ngx_pinaud_text_add(text, (const u_char *) "\\n", 2);
            break;

        default:
            ngx_pinaud_text_add(text, &p[i], 1);
        }
    }
}


static void
ngx_pinaud_text_add(ngx_pinaud_text_t *text, const u_char *p, size_t len)
{
    size_t        n;
    ngx_chain_t  *cl;

    while (len && !text->failed) {

        if (text->buf == NULL || text->buf->last == text->buf->end) {

            cl = ngx_alloc_chain_link(text->pool);
            text->buf = ngx_create_temp_buf(text->pool,
                                            NGX_PINAUD_TEXT_BUFFER);

            if (cl == NULL || text->buf == NULL) {
                text->failed = 1;
                return;
            }

            cl->buf = text->buf;
            cl->next = NULL;

            *text->last = cl;
            text->last = &cl->next;
        }

        n = ngx_min(len, (size_t) (text->buf->end - text->buf->last));

        text->buf->last = ngx_cpymem(text->buf->last, p, n);
        text->size += n;

        p += n;
        len -= n;
    }
}
