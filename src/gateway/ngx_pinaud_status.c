
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The status document: who asks gets it for Prometheus, as JSON, or as the
 * answer to a health check.
 */


#include "ngx_pinaud_status.h"


#define NGX_PINAUD_TEXT_BUFFER  8192
#define NGX_PINAUD_TEXT_LINE    512        /* of one printed piece */

#define NGX_PINAUD_TEXT_PLAIN   "text/plain"
#define NGX_PINAUD_TEXT_TYPE    "text/plain; version=0.0.4; charset=utf-8"


static ngx_int_t ngx_pinaud_status_health(ngx_http_request_t *r,
    ngx_pinaud_text_t *text, ngx_uint_t up);
static ngx_int_t ngx_pinaud_status_counters(ngx_http_request_t *r,
    ngx_pinaud_text_t *text, ngx_uint_t up);
static void ngx_pinaud_status_json(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters, ngx_uint_t up);
static int ngx_pinaud_status_write(const char *buffer, size_t size,
    void *data);
static ngx_int_t ngx_pinaud_status_send(ngx_http_request_t *r,
    ngx_pinaud_text_t *text);


ngx_int_t
ngx_pinaud_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_uint_t               up;
    ngx_pinaud_text_t        text;
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

    up = ngx_pinaud_zone_up(ngx_pinaud_zone(pmcf));

    return (plcf->status == NGX_PINAUD_STATUS_HEALTH)
           ? ngx_pinaud_status_health(r, &text, up)
           : ngx_pinaud_status_counters(r, &text, up);
}


static ngx_int_t
ngx_pinaud_status_health(ngx_http_request_t *r, ngx_pinaud_text_t *text,
    ngx_uint_t up)
{
    if (!up) {
        r->headers_out.status = NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    ngx_pinaud_text_print(text, "{\"status\":\"%s\"}\n",
                          up ? "ok" : "store_down");

    return ngx_pinaud_status_send(r, text);
}


static ngx_int_t
ngx_pinaud_status_counters(ngx_http_request_t *r, ngx_pinaud_text_t *text,
    ngx_uint_t up)
{
    ngx_pinaud_counters_t   *counters;
    ngx_pinaud_loc_conf_t   *plcf;
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_pinaud_module);
    plcf = ngx_http_get_module_loc_conf(r, ngx_pinaud_module);

    counters = ngx_pinaud_zone_copy(ngx_pinaud_zone(pmcf), r->pool);
    if (counters == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (plcf->status == NGX_PINAUD_STATUS_PROMETHEUS) {
        ngx_str_set(&r->headers_out.content_type, NGX_PINAUD_TEXT_TYPE);
        r->headers_out.content_type_len = sizeof(NGX_PINAUD_TEXT_PLAIN) - 1;

        ngx_pinaud_status_prometheus(text, pmcf, counters, up);

    } else {
        ngx_pinaud_status_json(text, counters, up);
    }

    return ngx_pinaud_status_send(r, text);
}


static void
ngx_pinaud_status_json(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters, ngx_uint_t up)
{
    json_t  *document;

    document = ngx_pinaud_status_document(counters, up);

    if (document == NULL
        || json_dump_callback(document, ngx_pinaud_status_write, text,
                              JSON_COMPACT|JSON_REAL_PRECISION(15)) != 0)
    {
        text->failed = 1;
    }

    json_decref(document);

    ngx_pinaud_text_print(text, "\n");
}


static int
ngx_pinaud_status_write(const char *buffer, size_t size, void *data)
{
    ngx_pinaud_text_t  *text = data;

    ngx_pinaud_text_add(text, (const u_char *) buffer, size);

    return text->failed ? -1 : 0;
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


void ngx_cdecl
ngx_pinaud_text_print(ngx_pinaud_text_t *text, const char *fmt, ...)
{
    u_char   piece[NGX_PINAUD_TEXT_LINE], *last;
    va_list  args;

    va_start(args, fmt);
    last = ngx_vslprintf(piece, piece + sizeof(piece), fmt, args);
    va_end(args);

    ngx_pinaud_text_add(text, piece, last - piece);
}


void
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
