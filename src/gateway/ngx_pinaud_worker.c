
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a worker has for itself: made when it starts, let go of when it ends.
 */


#include "ngx_pinaud.h"


ngx_int_t
ngx_pinaud_worker_create(ngx_cycle_t *cycle, ngx_pinaud_main_conf_t *pmcf)
{
    ngx_pinaud_worker_t  *worker;

    worker = ngx_pcalloc(cycle->pool, sizeof(ngx_pinaud_worker_t));
    if (worker == NULL) {
        return NGX_ERROR;
    }

    if (RAND_bytes((u_char *) worker->key, sizeof(worker->key)) != 1) {
        ngx_ssl_error(NGX_LOG_EMERG, cycle->log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    worker->scratch_len = pinaud_audience_scratch(0);
    worker->scratch = ngx_palloc(cycle->pool, worker->scratch_len);
    if (worker->scratch == NULL) {
        return NGX_ERROR;
    }

    worker->used = sizeof(worker->random);
    ngx_pinaud_ask_init(worker);
    ngx_pinaud_turn_init(worker);

    pmcf->worker = worker;

    worker->policies = ngx_pinaud_cache_create(cycle->pool,
                                               &ngx_pinaud_policy_kind, pmcf);
    if (worker->policies == NULL) {
        return NGX_ERROR;
    }

    worker->renewals = ngx_pinaud_renewals_create(cycle->pool);
    if (worker->renewals == NULL) {
        return NGX_ERROR;
    }

    worker->refunds = ngx_pinaud_keeper_create(pmcf, NGX_PINAUD_REFUND_MAX,
                                               cycle);
    if (worker->refunds == NULL) {
        return NGX_ERROR;
    }

    worker->cooldowns = ngx_pinaud_keeper_create(pmcf, NGX_PINAUD_COOLDOWN_MAX,
                                                 cycle);
    if (worker->cooldowns == NULL) {
        return NGX_ERROR;
    }

    worker->hasher = pinaud_hasher_create();
    if (worker->hasher == NULL) {
        ngx_ssl_error(NGX_LOG_EMERG, cycle->log, 0, "libcrypto has no SHA-256");
        return NGX_ERROR;
    }

    worker->callers = ngx_pinaud_cache_create(cycle->pool,
                                              &ngx_pinaud_caller_kind, pmcf);
    if (worker->callers == NULL) {
        return NGX_ERROR;
    }

    worker->redis = ngx_pinaud_redis_create(&pmcf->store, cycle->pool,
                                            cycle->log);

    return worker->redis ? NGX_OK : NGX_ERROR;
}


/* The link first: whoever waits for it is told while the rest is there. */

void
ngx_pinaud_worker_destroy(ngx_pinaud_worker_t *worker)
{
    ngx_pinaud_redis_close(worker->redis);
    ngx_pinaud_renewals_destroy(worker->renewals);
    ngx_pinaud_keeper_destroy(worker->refunds);
    ngx_pinaud_keeper_destroy(worker->cooldowns);
    ngx_pinaud_cache_destroy(worker->policies);
    ngx_pinaud_cache_destroy(worker->callers);
    pinaud_hasher_free(worker->hasher);
}
