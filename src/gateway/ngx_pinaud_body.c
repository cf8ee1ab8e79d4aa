
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The body of a request: collected, checked, and replaced by what is to be
 * forwarded. It is copied once, with the edits; without edits not at all.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_EDITS_MAX  1024          /* bytes of the field */


static ngx_int_t ngx_pinaud_body_collect(ngx_http_request_t *r,
    ngx_str_t *body);
static void ngx_pinaud_body_contract(ngx_pinaud_record_t *record,
    pinaud_audience_contract_t *contract);
static ngx_int_t ngx_pinaud_body_edit(ngx_pinaud_record_t *record,
    pinaud_audience_verdict_t *verdict);
static ngx_int_t ngx_pinaud_body_edits(ngx_pinaud_record_t *record,
    pinaud_audience_verdict_t *verdict);


ngx_int_t
ngx_pinaud_body_check(ngx_pinaud_record_t *record,
    pinaud_audience_verdict_t **told)
{
    void                        *scratch;
    size_t                       len;
    ngx_str_t                   *body;
    ngx_http_request_t          *r;
    ngx_pinaud_main_conf_t      *pmcf;
    pinaud_audience_verdict_t   *verdict;
    pinaud_audience_contract_t   contract;

    r = record->request;
    body = &record->body;
    pmcf = ngx_pinaud_main_conf(record);

    if (ngx_pinaud_body_collect(r, body) != NGX_OK) {
        return NGX_ERROR;
    }

    verdict = ngx_palloc(r->pool, sizeof(pinaud_audience_verdict_t));
    if (verdict == NULL) {
        return NGX_ERROR;
    }

    len = pinaud_audience_scratch(body->len);

    /* the worker's own is enough for most; the verdict is used up by then */

    scratch = pmcf->worker->scratch;

    if (len > pmcf->worker->scratch_len) {
        scratch = ngx_palloc(r->pool, len);
        if (scratch == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_pinaud_body_contract(record, &contract);

    pinaud_audience_check(&contract, body->data, body->len, scratch, len,
                          verdict);

    record->type = verdict->type;
    record->nerrors = verdict->nerrors + verdict->omitted;

    if (!verdict->valid) {

        /* its pointers are in the scratch memory, which stays until then */

        ngx_pinaud_zone_errors(ngx_pinaud_zone(pmcf), verdict);
        *told = verdict;

        return NGX_DECLINED;
    }

    if (verdict->nedits && !record->report
        && ngx_pinaud_body_edit(record, verdict) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (scratch != pmcf->worker->scratch) {
        (void) ngx_pfree(r->pool, scratch);
    }

    return NGX_OK;
}


static void
ngx_pinaud_body_contract(ngx_pinaud_record_t *record,
    pinaud_audience_contract_t *contract)
{
    ngx_pinaud_worker_t    *worker;
    ngx_pinaud_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(record->request, ngx_pinaud_module);
    worker = ngx_pinaud_main_conf(record)->worker;

    contract->operation = (record->operation == NGX_PINAUD_CREATE)
                          ? PINAUD_CREATE : PINAUD_CREATE_CUSTOM;
    contract->lenient = (plcf->normalize == NGX_PINAUD_NORMALIZE_LENIENT);
    contract->forward_unknown =
                         (plcf->unknown_members == NGX_PINAUD_UNKNOWN_FORWARD);
    contract->account = record->account.data;
    contract->account_len = record->account.len;
    contract->key[0] = worker->key[0];
    contract->key[1] = worker->key[1];
}


/* Makes record->body what is forwarded in place of what came. */

static ngx_int_t
ngx_pinaud_body_edit(ngx_pinaud_record_t *record,
    pinaud_audience_verdict_t *verdict)
{
    u_char  *p;

    ngx_pinaud_zone_edits(ngx_pinaud_zone(ngx_pinaud_main_conf(record)),
                          verdict);

    if (ngx_pinaud_body_edits(record, verdict) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(record->request->pool, verdict->forwarded_len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) pinaud_audience_write(verdict, record->body.data, record->body.len,
                                 p);

    record->body.data = p;
    record->body.len = verdict->forwarded_len;

    return NGX_OK;
}


/* The pointers of what was edited, as many as the field tells. */

static ngx_int_t
ngx_pinaud_body_edits(ngx_pinaud_record_t *record,
    pinaud_audience_verdict_t *verdict)
{
    u_char         *p, *last;
    pinaud_edit_t  *edit;

    p = ngx_pnalloc(record->request->pool, NGX_PINAUD_EDITS_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    record->nedits = verdict->nedits;
    record->edits.data = p;
    last = p + NGX_PINAUD_EDITS_MAX;

    for (edit = verdict->edits; edit; edit = edit->next) {

        if ((size_t) (last - p) < edit->pointer_len + sizeof(", \"\"") - 1) {
            continue;
        }

        if (p != record->edits.data) {
            *p++ = ',';
            *p++ = ' ';
        }

        *p++ = '"';
        p = ngx_cpymem(p, edit->pointer, edit->pointer_len);
        *p++ = '"';
    }

    record->edits.len = p - record->edits.data;

    return NGX_OK;
}


/* The whole body in one piece, which is not copied where nginx has it so. */

static ngx_int_t
ngx_pinaud_body_collect(ngx_http_request_t *r, ngx_str_t *body)
{
    off_t         size;
    u_char       *p;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl, *in;

    ngx_str_null(body);

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    in = r->request_body->bufs;

    if (in->next == NULL && !in->buf->in_file) {
        body->data = in->buf->pos;
        body->len = in->buf->last - in->buf->pos;

        return NGX_OK;
    }

    size = 0;

    for (cl = in; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    p = ngx_pnalloc(r->pool, (size_t) size + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;

    for (cl = in; cl; cl = cl->next) {

        b = cl->buf;

        if (!b->in_file) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        n = ngx_read_file(b->file, p, (size_t) (b->file_last - b->file_pos),
                          b->file_pos);

        if (n != (ssize_t) (b->file_last - b->file_pos)) {
            ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                          ngx_read_file_n " \"%V\" returned %z bytes "
                          "instead of %O", &b->file->name, n,
                          b->file_last - b->file_pos);
            return NGX_ERROR;
        }

        p += n;
    }

    body->len = p - body->data;

    return NGX_OK;
}


/*
 * Makes record->body what proxy_pass sends: one buffer, whose start is its
 * first byte, since nginx rewinds to it before it tries another address.
 */

ngx_int_t
ngx_pinaud_body_replace(ngx_pinaud_record_t *record)
{
    ngx_buf_t           *b;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = record->request;

    r->headers_in.chunked = 0;

    if (record->body.len == 0) {

        /* a read, with whatever body it came, or a create without one */

        r->request_body->bufs = NULL;
        r->headers_in.content_length_n = record->create ? 0 : -1;

        return NGX_OK;
    }

    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->start = record->body.data;
    b->pos = b->start;
    b->last = b->start + record->body.len;
    b->end = b->last;
    b->memory = 1;
    b->last_buf = 1;

    cl->buf = b;
    cl->next = NULL;

    r->request_body->bufs = cl;
    r->request_body->temp_file = NULL;
    r->headers_in.content_length_n = record->body.len;

    return NGX_OK;
}
