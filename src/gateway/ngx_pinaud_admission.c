
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Admission: one round trip in which Redis checks and charges every bucket
 * and hands out the sealed token.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_TRIES  3                /* late or moved, then again */


static ngx_int_t ngx_pinaud_admission_policy(ngx_pinaud_record_t *record);
static void ngx_pinaud_admission_woken(ngx_pinaud_waiter_t *waiter,
    ngx_uint_t ready);


ngx_int_t
ngx_pinaud_admission_ask(ngx_pinaud_record_t *record)
{
    ngx_int_t            rc;
    ngx_pinaud_redis_t  *redis;

    if (record->team_key.len) {

        /* it may have been revoked while the request waited for its turn */

        if (ngx_pinaud_caller_ask(record) == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (record->team.len == 0) {
            ngx_pinaud_turn_leave(record);
            record->answered = 1;

            return NGX_OK;
        }
    }

    redis = ngx_pinaud_main_conf(record)->worker->redis;

    if (ngx_pinaud_redis_state(redis) != NGX_PINAUD_REDIS_READY) {

        record->waiter.handler = ngx_pinaud_admission_woken;

        if (ngx_pinaud_redis_wait(redis, &record->waiter) != NGX_OK) {
            return ngx_pinaud_admission_store_down(record, "unreachable");
        }

        record->waiting = 1;

        return NGX_AGAIN;
    }

    rc = ngx_pinaud_admission_policy(record);

    if (rc == NGX_OK) {
        rc = ngx_pinaud_turn_take(record);
    }

    if (rc != NGX_OK) {
        return (rc == NGX_AGAIN) ? NGX_AGAIN : NGX_OK;
    }

    if (ngx_pinaud_ask_join(record) != NGX_OK) {
        return ngx_pinaud_admission_store_down(record, "memory");
    }

    record->tries++;

    return NGX_AGAIN;
}


/*
 * NGX_OK: record->policy lets the team ask. NGX_AGAIN: it is being read.
 * NGX_DECLINED: it does not, or can't be had, and the verdict is there.
 */

static ngx_int_t
ngx_pinaud_admission_policy(ngx_pinaud_record_t *record)
{
    ngx_pinaud_policy_t  *policy;
    ngx_pinaud_worker_t  *worker;

    worker = ngx_pinaud_main_conf(record)->worker;

    if (record->policy == NULL) {
        record->policy = ngx_pinaud_policy_get(worker->policies,
                                               &record->account,
                                               &record->team);
        if (record->policy == NULL) {
            (void) ngx_pinaud_admission_store_down(record, "memory");
            return NGX_DECLINED;
        }
    }

    policy = record->policy;

    if (!ngx_pinaud_cache_fresh(&policy->cached)) {

        record->policy = NULL;

        if (ngx_pinaud_policy_ask(policy, worker->redis) != NGX_OK) {
            ngx_pinaud_policy_release(policy);
            (void) ngx_pinaud_admission_store_down(record, "overload");
            return NGX_DECLINED;
        }

        record->waiter.handler = ngx_pinaud_admission_woken;
        ngx_queue_insert_tail(&policy->cached.waiting, &record->waiter.queue);
        record->waiting = 1;

        /* the question holds it until all who wait are told */

        ngx_pinaud_policy_release(policy);

        return NGX_AGAIN;
    }

    if (policy->cached.unreadable) {
        (void) ngx_pinaud_admission_store_down(record, "policy");
        return NGX_DECLINED;
    }

    if (!policy->allowed) {
        ngx_pinaud_turn_leave(record);

        record->verdict = NGX_PINAUD_REFUSED_FORBIDDEN;
        record->answered = 1;

        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_pinaud_admission_cancel(ngx_pinaud_record_t *record)
{
    ngx_pinaud_turn_leave(record);

    if (record->waiting) {
        ngx_queue_remove(&record->waiter.queue);
        record->waiting = 0;
    }

    ngx_pinaud_ask_leave(record);
}


ngx_pinaud_main_conf_t *
ngx_pinaud_main_conf(ngx_pinaud_record_t *record)
{
    return ngx_http_get_module_main_conf(record->request, ngx_pinaud_module);
}


static void
ngx_pinaud_admission_woken(ngx_pinaud_waiter_t *waiter, ngx_uint_t ready)
{
    ngx_int_t             rc;
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_waiter_record(waiter);

    record->waiting = 0;

    rc = ready ? ngx_pinaud_admission_ask(record)
               : ngx_pinaud_admission_store_down(record, "unreachable");

    if (rc == NGX_OK) {
        ngx_pinaud_request_answered(record);
    }
}


ngx_int_t
ngx_pinaud_admission_store_down(ngx_pinaud_record_t *record,
    const char *reason)
{
    ngx_pinaud_zone_store_error(ngx_pinaud_zone(ngx_pinaud_main_conf(record)),
                                reason);
    ngx_pinaud_turn_leave(record);

    record->answered = 1;

    if (ngx_pinaud_outage_spend(record) != NGX_OK) {
        record->verdict = NGX_PINAUD_REFUSED_STORE;
    }

    return NGX_OK;
}


ngx_int_t
ngx_pinaud_admission_told(ngx_pinaud_record_t *record)
{
    if (record->verdict == NGX_PINAUD_REFUSED_LATE
        || record->verdict == NGX_PINAUD_REFUSED_MOVED)
    {
        /*
         * Too late by Redis's clock, which the reply told anew, or the account
         * is being moved: the request's own timer has not expired yet.
         */

        if (record->tries >= NGX_PINAUD_TRIES) {
            return ngx_pinaud_admission_store_down(record, "late");
        }

        record->policy->cached.fresh = 0;
        ngx_pinaud_policy_release(record->policy);
        record->policy = NULL;

        return ngx_pinaud_admission_ask(record);
    }

    if (ngx_pinaud_turn_told(record) == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    record->answered = 1;

    return NGX_OK;
}
