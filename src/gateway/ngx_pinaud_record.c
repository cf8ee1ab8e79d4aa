
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The record of a request: made, found again, and let go of.
 */


#include "ngx_pinaud.h"


static ngx_int_t ngx_pinaud_request_id(ngx_http_request_t *r, ngx_str_t *id);
static void ngx_pinaud_record_cleanup(void *data);


ngx_pinaud_record_t *
ngx_pinaud_record(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t   *cln;
    ngx_pinaud_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_pinaud_module);

    if (record == NULL && (r->internal || r->filter_finalize)) {

        /* nginx cleared the context on a redirect (as realip finds its own) */

        for (cln = r->pool->cleanup; cln; cln = cln->next) {

            if (cln->handler == ngx_pinaud_record_cleanup) {
                return cln->data;
            }
        }
    }

    return record;
}


ngx_pinaud_record_t *
ngx_pinaud_record_create(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t   *cln;
    ngx_pinaud_record_t  *record;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_pinaud_record_t));
    if (cln == NULL) {
        return NULL;
    }

    record = cln->data;
    ngx_memzero(record, sizeof(ngx_pinaud_record_t));

    record->request = r;
    record->http_version = r->http_version;
    record->outcome = NGX_PINAUD_ERROR;

    if (ngx_pinaud_request_id(r, &record->request_id) != NGX_OK) {
        return NULL;
    }

    ngx_pinaud_match_path(record);

    cln->handler = ngx_pinaud_record_cleanup;

    return record;
}


static void
ngx_pinaud_record_cleanup(void *data)
{
    ngx_pinaud_record_t  *record = data;

    ngx_pinaud_admission_cancel(record);

    if (record->policy) {
        ngx_pinaud_policy_release(record->policy);
    }

    ngx_pinaud_token_wipe(record);
    ngx_explicit_memzero(record->team_key.data, record->team_key.len);
}


/*
 * nginx's $request_id, as it is anywhere else in the request. NGX_ERROR: no
 * memory or no random bytes.
 *
 * Where nothing asked for $request_id before, the variable is set here, of
 * random bytes that are taken in advance: one call of RAND_bytes() costs as
 * much as a tenth of bare proxying.
 */

static ngx_int_t
ngx_pinaud_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    ngx_pinaud_worker_t        *worker;
    ngx_pinaud_main_conf_t     *pmcf;
    ngx_http_variable_value_t  *v;

    pmcf = ngx_http_get_module_main_conf(r, ngx_pinaud_module);
    worker = pmcf->worker;

    v = &r->variables[pmcf->request_id_index];

    if (!v->valid) {

        if (worker->used == sizeof(worker->random)) {

            if (RAND_bytes(worker->random, sizeof(worker->random)) != 1) {
                ngx_ssl_error(NGX_LOG_ERR, r->connection->log, 0,
                              "RAND_bytes() failed");
                return NGX_ERROR;
            }

            worker->used = 0;
        }

        v->data = ngx_pnalloc(r->pool, NGX_PINAUD_ID_LEN);
        if (v->data == NULL) {
            return NGX_ERROR;
        }

        ngx_hex_dump(v->data, worker->random + worker->used,
                     NGX_PINAUD_ID_LEN / 2);
        worker->used += NGX_PINAUD_ID_LEN / 2;

        v->len = NGX_PINAUD_ID_LEN;
        v->valid = 1;
        v->no_cacheable = 0;
        v->not_found = 0;
    }

    if (v->not_found || v->len != NGX_PINAUD_ID_LEN) {
        return NGX_ERROR;
    }

    id->data = v->data;
    id->len = v->len;

    return NGX_OK;
}


uint64_t
ngx_pinaud_usec(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
