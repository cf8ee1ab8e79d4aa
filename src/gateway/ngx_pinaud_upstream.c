
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What becomes of a request that was let through, and of errors that nginx
 * itself answers: filters that put our fields on every answer of an enabled
 * location and turn into problems what is not Pinterest's to tell.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_HELD_MAX  (1 << 20)     /* bytes of an answer */


static ngx_int_t ngx_pinaud_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_pinaud_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_pinaud_upstream_header(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_upstream_hold(ngx_pinaud_record_t *record,
    ngx_chain_t *in);
static void ngx_pinaud_upstream_finalize(ngx_http_request_t *r,
    ngx_int_t rc);
static ngx_int_t ngx_pinaud_upstream_keep(ngx_pinaud_record_t *record,
    ngx_buf_t *from);
static ngx_int_t ngx_pinaud_upstream_replace(ngx_pinaud_record_t *record,
    ngx_chain_t *in);
static ngx_int_t ngx_pinaud_upstream_error(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_upstream_answer(ngx_pinaud_record_t *record);
static ngx_uint_t ngx_pinaud_upstream_whole(ngx_http_request_t *r);
static void ngx_pinaud_upstream_401(ngx_pinaud_record_t *record);
static void ngx_pinaud_upstream_challenge(ngx_http_request_t *r);
static void ngx_pinaud_upstream_clean(ngx_http_request_t *r);
static void ngx_pinaud_upstream_hide(ngx_http_request_t *r, const char *name,
    size_t len);


/* Set once, before any worker is: nginx's way to link filters. */

static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


void
ngx_pinaud_upstream_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_pinaud_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_pinaud_body_filter;
}


static ngx_int_t
ngx_pinaud_header_filter(ngx_http_request_t *r)
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

    return ngx_pinaud_upstream_header(record);
}


static ngx_int_t
ngx_pinaud_upstream_header(ngx_pinaud_record_t *record)
{
    if (ngx_pinaud_fields_add(record) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(record->request);
}


static ngx_int_t
ngx_pinaud_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_pinaud_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_pinaud_module);

    if (record == NULL || in == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    if (record->held) {
        return ngx_pinaud_upstream_hold(record, in);
    }

    if (record->replace) {
        return ngx_pinaud_upstream_replace(record, in);
    }

    return ngx_http_next_body_filter(r, in);
}


/*
 * Pinterest's answer to a create is small, and passed on when all of it is
 * here: should the connection break before, the caller is told that the
 * outcome is unknown, instead of being left with half an answer.
 */

static ngx_int_t
ngx_pinaud_upstream_hold(ngx_pinaud_record_t *record, ngx_chain_t *in)
{
    ngx_uint_t           last;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = record->request;
    last = 0;

    for (cl = in; cl; cl = cl->next) {
        last |= cl->buf->last_buf;

        if (ngx_pinaud_upstream_keep(record, cl->buf) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (last || record->held_size > NGX_PINAUD_HELD_MAX) {
        record->held = 0;

        if (ngx_pinaud_upstream_header(record) == NGX_ERROR) {
            return NGX_ERROR;
        }

        return ngx_http_next_body_filter(r, record->held_bufs);
    }

    return NGX_OK;
}


/*
 * nginx is done with the upstream. Where the answer's end did not come, this
 * is the only place that learns of it in time to answer something else.
 */

static void
ngx_pinaud_upstream_finalize(ngx_http_request_t *r, ngx_int_t rc)
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
        && ngx_pinaud_upstream_header(record) != NGX_ERROR)
    {
        (void) ngx_pinaud_upstream_replace(record, NULL);
    }
}


void
ngx_pinaud_upstream_watch(ngx_pinaud_record_t *record)
{
    ngx_http_upstream_t  *u;

    u = record->request->upstream;

    record->finalize = u->finalize_request;
    u->finalize_request = ngx_pinaud_upstream_finalize;
}


/* Adds a copy of one buffer to what is held: the original is used again. */

static ngx_int_t
ngx_pinaud_upstream_keep(ngx_pinaud_record_t *record, ngx_buf_t *from)
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


/* Sends the problem instead, once, and passes over what was to be sent. */

static ngx_int_t
ngx_pinaud_upstream_replace(ngx_pinaud_record_t *record, ngx_chain_t *in)
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


/* An answer of nginx itself. */

static ngx_int_t
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

    if (record->sent) {

        if (ngx_pinaud_upstream_sent(record)) {
            return ngx_pinaud_answer_replace(record,
                                             PINAUD_PROBLEM_OUTCOME_UNKNOWN, 0,
                                             NULL);
        }

        if (status == NGX_HTTP_BAD_GATEWAY
            || status == NGX_HTTP_GATEWAY_TIME_OUT)
        {
            return ngx_pinaud_answer_replace(record,
                                         PINAUD_PROBLEM_UPSTREAM_UNREACHABLE,
                                         0, NULL);
        }
    }

    return ngx_pinaud_answer_replace(record, PINAUD_PROBLEM_INTERNAL, status,
                                     NULL);
}


/* Pinterest's answer goes through as it came, but for its 401 and cookies. */

static ngx_int_t
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

static void
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
    ngx_pinaud_upstream_challenge(r);
    ngx_pinaud_renew_want(record);
}


/* At the request's end: what no header filter saw. */

void
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
        record->outcome = (record->sent && ngx_pinaud_upstream_sent(record))
                          ? NGX_PINAUD_UNKNOWN : NGX_PINAUD_ABANDONED;
    }
}


ngx_uint_t
ngx_pinaud_upstream_sent(ngx_pinaud_record_t *record)
{
    ngx_uint_t                  i;
    ngx_array_t                *states;
    ngx_http_upstream_state_t  *state;

    states = record->request->upstream_states;

    if (states == NULL) {
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


static void
ngx_pinaud_upstream_challenge(ngx_http_request_t *r)
{
    ngx_pinaud_upstream_hide(r, "WWW-Authenticate", 16);

    r->headers_out.www_authenticate = NULL;
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
