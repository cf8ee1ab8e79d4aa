
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Filters: our fields go on every answer of an enabled location, an answer to
 * a write is held until all of it is here, and a problem may take an answer's
 * place. What an answer means is in ngx_pinaud_upstream.c.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_HELD_MAX  (1 << 20)     /* bytes of an answer */


static ngx_int_t ngx_pinaud_filter_header(ngx_http_request_t *r);
static ngx_int_t ngx_pinaud_filter_body(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_pinaud_filter_send(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_filter_hold(ngx_pinaud_record_t *record,
    ngx_chain_t *in);
static ngx_int_t ngx_pinaud_filter_keep(ngx_pinaud_record_t *record,
    ngx_buf_t *from);
static void ngx_pinaud_filter_finalize(ngx_http_request_t *r, ngx_int_t rc);
static ngx_int_t ngx_pinaud_filter_replace(ngx_pinaud_record_t *record,
    ngx_chain_t *in);


/* Set once, before any worker is: nginx's way to link filters. */

static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


void
ngx_pinaud_filter_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_pinaud_filter_header;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_pinaud_filter_body;
}


static ngx_int_t
ngx_pinaud_filter_header(ngx_http_request_t *r)
{
    ngx_int_t               rc;
    ngx_pinaud_record_t    *record;
    ngx_pinaud_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_pinaud_module);

    if ((!plcf->enable && !plcf->retry) || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    record = ngx_pinaud_record(r);

    if (record == NULL) {

        /* nginx refused it before it came to us */

        record = ngx_pinaud_record_create(r);
        if (record == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_http_set_ctx(r, record, ngx_pinaud_module);

    rc = NGX_OK;

    if (!record->own) {

        if (r->err_status || !record->sent || r->upstream == NULL) {
            rc = ngx_pinaud_upstream_error(record);

        } else {
            rc = ngx_pinaud_upstream_answer(record);
        }
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (record->held) {
        return NGX_OK;
    }

    return ngx_pinaud_filter_send(record);
}


static ngx_int_t
ngx_pinaud_filter_send(ngx_pinaud_record_t *record)
{
    if (ngx_pinaud_fields_add(record) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(record->request);
}


static ngx_int_t
ngx_pinaud_filter_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_pinaud_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_pinaud_module);

    if (record == NULL || in == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    if (record->held) {
        return ngx_pinaud_filter_hold(record, in);
    }

    if (record->replace) {
        return ngx_pinaud_filter_replace(record, in);
    }

    return ngx_http_next_body_filter(r, in);
}


/*
 * Pinterest's answer to a create is small, and passed on when all of it is
 * here: should the connection break before, the caller is told that the
 * outcome is unknown, instead of being left with half an answer.
 */

static ngx_int_t
ngx_pinaud_filter_hold(ngx_pinaud_record_t *record, ngx_chain_t *in)
{
    ngx_uint_t           last;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = record->request;
    last = 0;

    for (cl = in; cl; cl = cl->next) {
        last |= cl->buf->last_buf;

        if (ngx_pinaud_filter_keep(record, cl->buf) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (last || record->held_size > NGX_PINAUD_HELD_MAX) {
        record->held = 0;

        if (ngx_pinaud_filter_send(record) == NGX_ERROR) {
            return NGX_ERROR;
        }

        return ngx_http_next_body_filter(r, record->held_bufs);
    }

    return NGX_OK;
}


/* Adds a copy of one buffer to what is held: the original is used again. */

static ngx_int_t
ngx_pinaud_filter_keep(ngx_pinaud_record_t *record, ngx_buf_t *from)
{
    off_t                size;
    ngx_buf_t           *b;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = record->request;
    size = ngx_buf_size(from);

    if (size == 0 && !from->last_buf) {
        return NGX_OK;
    }

    b = size ? ngx_create_temp_buf(r->pool, size) : ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    if (ngx_buf_in_memory(from)) {
        b->last = ngx_cpymem(b->pos, from->pos, size);
        from->pos = from->last;

    } else if (size) {

        if (ngx_read_file(from->file, b->pos, size, from->file_pos) != size) {
            return NGX_ERROR;
        }

        b->last += size;
        from->file_pos = from->file_last;
    }

    b->last_buf = from->last_buf;
    b->last_in_chain = from->last_buf;
    record->held_size += size;

    cl->buf = b;
    cl->next = NULL;

    *record->held_last = cl;
    record->held_last = &cl->next;

    return NGX_OK;
}


void
ngx_pinaud_filter_watch(ngx_pinaud_record_t *record)
{
    ngx_http_upstream_t  *u;

    u = record->request->upstream;

    record->finalize = u->finalize_request;
    u->finalize_request = ngx_pinaud_filter_finalize;
}


/*
 * nginx is done with the upstream. Where the answer's end did not come, this
 * is the only place that learns of it in time to answer something else.
 */

static void
ngx_pinaud_filter_finalize(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_pinaud_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_pinaud_module);

    record->finalize(r, rc);

    if (rc == NGX_HTTP_UNAUTHORIZED && !record->refused
        && r->upstream->headers_in.status_n == NGX_HTTP_UNAUTHORIZED)
    {
        /* nginx goes on to where "error_page" leads */

        ngx_pinaud_upstream_401(record);
        return;
    }

    if (!record->held || (rc != NGX_ERROR && rc < NGX_HTTP_BAD_GATEWAY)) {
        return;
    }

    record->held = 0;
    r->keepalive = 0;

    if (ngx_pinaud_answer_replace(record, PINAUD_PROBLEM_OUTCOME_UNKNOWN, 0,
                                  NULL)
        == NGX_OK
        && ngx_pinaud_filter_send(record) != NGX_ERROR)
    {
        (void) ngx_pinaud_filter_replace(record, NULL);
    }
}


/* Sends the problem instead, once, and passes over what was to be sent. */

static ngx_int_t
ngx_pinaud_filter_replace(ngx_pinaud_record_t *record, ngx_chain_t *in)
{
    ngx_buf_t           *b;
    ngx_chain_t         *cl, out;
    ngx_http_request_t  *r;

    r = record->request;

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    if (record->replaced) {
        return NGX_OK;
    }

    record->replaced = 1;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = record->problem.data;
    b->last = record->problem.data + record->problem.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_next_body_filter(r, &out);
}
