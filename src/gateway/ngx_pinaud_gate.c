
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The gate. It stands in the peer.init of every upstream, which runs when the
 * request to be sent is made and no connection is: in an enabled location
 * nothing passes that was not admitted, nothing that differs from what was
 * checked, and only here is the token put on. What the fields may be is in
 * ngx_pinaud_gate_fields.c.
 */


#include "ngx_pinaud.h"


static ngx_int_t ngx_pinaud_gate_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_http_upstream_init_peer_pt ngx_pinaud_gate_find(
    ngx_pinaud_main_conf_t *pmcf, ngx_http_upstream_srv_conf_t *us);
static int ngx_libc_cdecl ngx_pinaud_gate_cmp(const void *one,
    const void *two);
static ngx_int_t ngx_pinaud_gate_open(ngx_http_request_t *r,
    ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_gate_tls(ngx_http_request_t *r);
static const char *ngx_pinaud_gate_line(ngx_http_request_t *r,
    ngx_pinaud_record_t *record, ngx_buf_t *b, u_char **fields);
static const char *ngx_pinaud_gate_body(ngx_pinaud_record_t *record,
    ngx_chain_t *body);
static ngx_int_t ngx_pinaud_gate_token(ngx_http_request_t *r,
    ngx_pinaud_record_t *record, ngx_buf_t *head);


ngx_int_t
ngx_pinaud_gate_init(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf)
{
    ngx_uint_t                       i;
    ngx_pinaud_gated_t              *gated;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_main_conf_t   *umcf;

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);

    if (ngx_array_init(&pmcf->gated, cf->pool, umcf->upstreams.nelts + 1,
                       sizeof(ngx_pinaud_gated_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        gated = ngx_array_push(&pmcf->gated);
        if (gated == NULL) {
            return NGX_ERROR;
        }

        gated->upstream = uscfp[i];
        gated->init = uscfp[i]->peer.init;
        uscfp[i]->peer.init = ngx_pinaud_gate_peer;
    }

    ngx_qsort(pmcf->gated.elts, pmcf->gated.nelts, sizeof(ngx_pinaud_gated_t),
              ngx_pinaud_gate_cmp);

    return NGX_OK;
}


static ngx_int_t
ngx_pinaud_gate_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    ngx_pinaud_record_t             *record;
    ngx_pinaud_loc_conf_t           *plcf;
    ngx_pinaud_main_conf_t          *pmcf;
    ngx_http_upstream_init_peer_pt   init;

    plcf = ngx_http_get_module_loc_conf(r, ngx_pinaud_module);
    pmcf = ngx_http_get_module_main_conf(r, ngx_pinaud_module);

    init = ngx_pinaud_gate_find(pmcf, us);

    if (init == NULL) {
        return NGX_ERROR;
    }

    if (!plcf->enable && !plcf->retry) {
        return init(r, us);
    }

    record = (r == r->main) ? ngx_pinaud_record(r) : NULL;

    if (record == NULL || !record->armed) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "pinaud: request was not admitted, nothing is sent");
        return NGX_ERROR;
    }

    record->armed = 0;

    if (ngx_pinaud_gate_open(r, record) != NGX_OK) {
        return NGX_ERROR;
    }

    record->sent = 1;
    ngx_pinaud_filter_watch(record);

    return init(r, us);
}


static ngx_http_upstream_init_peer_pt
ngx_pinaud_gate_find(ngx_pinaud_main_conf_t *pmcf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t           low, high, mid;
    ngx_pinaud_gated_t  *gated;

    gated = pmcf->gated.elts;
    low = 0;
    high = pmcf->gated.nelts;

    while (low < high) {
        mid = (low + high) / 2;

        if (gated[mid].upstream == us) {
            return gated[mid].init;
        }

        if ((uintptr_t) gated[mid].upstream < (uintptr_t) us) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    return NULL;
}


static int ngx_libc_cdecl
ngx_pinaud_gate_cmp(const void *one, const void *two)
{
    uintptr_t  first, second;

    first = (uintptr_t) ((ngx_pinaud_gated_t *) one)->upstream;
    second = (uintptr_t) ((ngx_pinaud_gated_t *) two)->upstream;

    return (first > second) - (first < second);
}


static ngx_int_t
ngx_pinaud_gate_open(ngx_http_request_t *r, ngx_pinaud_record_t *record)
{
    u_char       *fields;
    ngx_buf_t    *head;
    const char   *reason;
    ngx_chain_t  *cl;

    if (ngx_pinaud_gate_tls(r) != NGX_OK) {
        return NGX_ERROR;
    }

    cl = r->upstream->request_bufs;
    head = cl->buf;

    reason = ngx_pinaud_gate_line(r, record, head, &fields);

    if (reason == NULL) {
        reason = ngx_pinaud_gate_body(record, cl->next);
    }

    if (reason == NULL) {
        reason = ngx_pinaud_gate_fields(record, head, fields);
    }

    if (reason) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "pinaud: request to be sent is not the one that was "
                      "checked: %s", reason);
        return NGX_ERROR;
    }

    return ngx_pinaud_gate_token(r, record, head);
}


static ngx_int_t
ngx_pinaud_gate_tls(ngx_http_request_t *r)
{
    ngx_http_upstream_t    *u;
    ngx_pinaud_loc_conf_t  *plcf;

    u = r->upstream;
    plcf = ngx_http_get_module_loc_conf(r, ngx_pinaud_module);

    if (!u->ssl && !plcf->local) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "pinaud: upstream is another host without TLS, "
                      "nothing is sent");
        return NGX_ERROR;
    }

    if (u->ssl && !(u->conf->ssl_verify && u->conf->ssl_server_name)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "pinaud: upstream's certificate is not verified, "
                      "nothing is sent");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* The request line names the method and the path that were checked. */

static const char *
ngx_pinaud_gate_line(ngx_http_request_t *r, ngx_pinaud_record_t *record,
    ngx_buf_t *b, u_char **fields)
{
    u_char     *p, *end;
    ngx_str_t  *method;

    method = &record->method;
    end = memchr(b->pos, LF, b->last - b->pos);

    if (end == NULL) {
        return "it has no request line";
    }

    p = b->pos;

    if ((size_t) (end - p) < method->len + record->path.len + 2
        || ngx_memcmp(p, method->data, method->len) != 0
        || p[method->len] != ' ')
    {
        return "another method";
    }

    p += method->len + 1;

    if (ngx_memcmp(p, record->path.data, record->path.len) != 0
        || p[record->path.len] != ' ')
    {
        return "another path";
    }

    p += record->path.len;

    if (end - p != sizeof(" HTTP/1.1" CRLF) - 2
        || ngx_memcmp(p, " HTTP/1.", sizeof(" HTTP/1.") - 1) != 0)
    {
        return "a malformed request line";
    }

    *fields = end + 1;

    return NULL;
}


/*
 * A create's body is the very bytes that were checked, and a read has none.
 * That of another write was not checked, and may be yet to come.
 */

static const char *
ngx_pinaud_gate_body(ngx_pinaud_record_t *record, ngx_chain_t *body)
{
    if (record->write && !record->create) {
        return NULL;
    }

    if (record->body.len == 0) {
        return body ? "it has a body" : NULL;
    }

    if (body == NULL || body->next || body->buf->in_file
        || body->buf->pos != record->body.data
        || (size_t) (body->buf->last - body->buf->pos) != record->body.len)
    {
        return "another body";
    }

    return NULL;
}


/*
 * The token is a buffer of its own, between the fields and the body. Where the
 * body is nginx's to read it is in one buffer with the fields, in a copy that
 * is the record's to wipe: what follows the first may be put into chunks.
 */

static ngx_int_t
ngx_pinaud_gate_token(ngx_http_request_t *r, ngx_pinaud_record_t *record,
    ngx_buf_t *head)
{
    size_t        len;
    ngx_buf_t    *b, *token;
    ngx_chain_t  *cl;

    if (record->write && !record->create) {
        token = record->token;
        len = head->last - head->pos;

        b = ngx_create_temp_buf(r->pool, len + (token->last - token->pos));
        if (b == NULL) {
            return NGX_ERROR;
        }

        b->last = ngx_cpymem(b->last, head->pos, len);
        b->last = ngx_cpymem(b->last, token->pos, token->last - token->pos);
        b->flush = head->flush;

        ngx_pinaud_token_wipe(record);

        record->token = b;
        r->upstream->request_bufs->buf = b;

        return NGX_OK;
    }

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    cl->buf = record->token;
    cl->next = r->upstream->request_bufs->next;

    if (cl->next == NULL) {
        head->flush = 0;
        cl->buf->flush = 1;
    }

    r->upstream->request_bufs->next = cl;

    return NGX_OK;
}
