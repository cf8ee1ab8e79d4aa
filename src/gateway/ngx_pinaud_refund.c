
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Charges given back: of requests of which nothing was sent to Pinterest. While
 * Redis can't be reached they are kept, as many as fit. One whose answer does
 * not come is sent again, as long as Redis remembers the first: what it has not
 * done by then it does not do later.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_REFUND_KEEP  60000      /* ms: how long a mark stands */
#define NGX_PINAUD_REFUND_MAX   1024       /* a worker */
#define NGX_PINAUD_REFUND_STEP  500        /* ms: between two attempts */
#define NGX_PINAUD_REFUND_EXIT  5000       /* ms: for those of a worker that
                                              quits */


struct ngx_pinaud_refunds_s {
    ngx_pinaud_main_conf_t     *conf;
    ngx_queue_t                 kept;      /* the oldest first */
    ngx_uint_t                  count;     /* kept, or under way */
    ngx_event_t                 event;
    ngx_connection_t            anchor;    /* debug lines of events read its
                                              descriptor */
    ngx_msec_t                  quits;     /* since then; 0: it does not */
};


typedef struct {
    ngx_queue_t                 queue;
    ngx_pinaud_refunds_t       *refunds;
    ngx_pinaud_policy_t        *policy;
    ngx_pinaud_charge_t         charge;
    int64_t                     deadline;  /* ms of Redis's time; 0: it was
                                              never sent */
} ngx_pinaud_refund_t;


static void ngx_pinaud_refund_try(ngx_pinaud_refund_t *refund);
static ngx_int_t ngx_pinaud_refund_send(ngx_pinaud_refund_t *refund);
static void ngx_pinaud_refund_told(void *data, redisReply *reply);
static void ngx_pinaud_refund_keep(ngx_pinaud_refund_t *refund);
static void ngx_pinaud_refund_event(ngx_event_t *ev);
static void ngx_pinaud_refund_drop(ngx_pinaud_refund_t *refund);
static void ngx_pinaud_refund_free(ngx_pinaud_refund_t *refund);


ngx_pinaud_refunds_t *
ngx_pinaud_refunds_create(ngx_pinaud_main_conf_t *pmcf, ngx_pool_t *pool,
    ngx_log_t *log)
{
    ngx_pinaud_refunds_t  *refunds;

    refunds = ngx_pcalloc(pool, sizeof(ngx_pinaud_refunds_t));
    if (refunds == NULL) {
        return NULL;
    }

    refunds->conf = pmcf;
    ngx_queue_init(&refunds->kept);

    refunds->anchor.fd = (ngx_socket_t) -1;
    refunds->anchor.data = refunds;
    refunds->event.handler = ngx_pinaud_refund_event;
    refunds->event.data = &refunds->anchor;
    refunds->event.log = log;

    return refunds;
}


void
ngx_pinaud_refunds_destroy(ngx_pinaud_refunds_t *refunds)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&refunds->kept)) {
        q = ngx_queue_head(&refunds->kept);
        ngx_queue_remove(q);

        ngx_pinaud_refund_drop(ngx_queue_data(q, ngx_pinaud_refund_t, queue));
    }
}


void
ngx_pinaud_refund(ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_policy_t *policy,
    ngx_pinaud_charge_t *charge)
{
    ngx_pinaud_refund_t   *refund;
    ngx_pinaud_refunds_t  *refunds;

    if (charge->buckets == 0) {
        return;
    }

    refunds = pmcf->worker->refunds;

    refund = ngx_alloc(sizeof(ngx_pinaud_refund_t), ngx_cycle->log);

    if (refund == NULL) {
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), "refund");
        return;
    }

    refund->refunds = refunds;
    refund->policy = policy;
    refund->charge = *charge;
    refund->deadline = 0;

    policy->cached.refs++;

    if (refunds->count++ == 0) {

        /* a worker that quits waits for them, and keeps the connection */

        ngx_pinaud_redis_want(pmcf->worker->redis);
        ngx_add_timer(&refunds->event, NGX_PINAUD_REFUND_STEP);
    }

    ngx_pinaud_refund_try(refund);
}


static void
ngx_pinaud_refund_try(ngx_pinaud_refund_t *refund)
{
    int64_t              now;
    ngx_pinaud_redis_t  *redis;

    redis = refund->refunds->conf->worker->redis;
    now = ngx_pinaud_redis_now(redis, refund->policy->slot);

    if (refund->deadline && now >= refund->deadline) {
        ngx_pinaud_refund_drop(refund);
        return;
    }

    if (ngx_pinaud_refund_send(refund) != NGX_OK) {
        ngx_pinaud_refund_keep(refund);
    }
}


static ngx_int_t
ngx_pinaud_refund_send(ngx_pinaud_refund_t *refund)
{
    char                     keys[NGX_PINAUD_KEYS][PINAUD_KEY_MAX], nkeys[2];
    u_char                   id[NGX_PINAUD_ID_LEN + 2], at[NGX_INT64_LEN],
                             keep[NGX_INT64_LEN], deadline[NGX_INT64_LEN];
    size_t                   lens[NGX_PINAUD_KEYS + 4], all[NGX_PINAUD_KEYS];
    int64_t                  until;
    ngx_int_t                rc;
    ngx_uint_t               argc, i, k;
    const char              *args[NGX_PINAUD_KEYS + 4];
    ngx_pinaud_charge_t     *charge;
    ngx_pinaud_policy_t     *policy;
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = refund->refunds->conf;
    policy = refund->policy;
    charge = &refund->charge;

    /* of the keys, the first of which is no bucket, those that were charged */

    k = ngx_pinaud_command_keys(policy, charge->mode, keys, all);
    argc = 1;

    for (i = 1; i < k; i++) {

        if (charge->buckets & (1 << (i - 1))) {
            args[argc] = keys[i];
            lens[argc++] = all[i];
        }
    }

    /* a request is admitted anew after Pinterest's 401: that is its second */

    ngx_memcpy(id, charge->id, NGX_PINAUD_ID_LEN);
    id[NGX_PINAUD_ID_LEN] = '-';
    id[NGX_PINAUD_ID_LEN + 1] = charge->retried ? '2' : '1';

    args[argc] = keys[0];
    lens[argc++] = pinaud_key_refund(keys[0], (char *) policy->credential,
                                     policy->credential_len, (char *) id,
                                     sizeof(id));

    nkeys[0] = '0' + argc - 1;
    args[0] = nkeys;
    lens[0] = 1;

    until = refund->deadline ? refund->deadline
                             : ngx_pinaud_redis_now(pmcf->worker->redis,
                                                    policy->slot)
                               + NGX_PINAUD_REFUND_KEEP;

    args[argc] = (char *) at;
    lens[argc++] = ngx_pinaud_digits(at, charge->at) - at;
    args[argc] = (char *) keep;
    lens[argc++] = ngx_pinaud_digits(keep, NGX_PINAUD_REFUND_KEEP) - keep;
    args[argc] = (char *) deadline;
    lens[argc++] = ngx_pinaud_digits(deadline, until) - deadline;

    rc = ngx_pinaud_tell(pmcf->worker->redis, &pmcf->refund, argc, args, lens,
                         ngx_pinaud_refund_told, refund);

    if (rc == NGX_OK) {
        refund->deadline = until;
    }

    return rc;
}


static void
ngx_pinaud_refund_told(void *data, redisReply *reply)
{
    ngx_pinaud_refund_t *refund = data;

    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        ngx_pinaud_refund_free(refund);
        return;
    }

    ngx_pinaud_refund_keep(refund);
}


/* Where there is no room the oldest, which counts for the shortest, goes. */

static void
ngx_pinaud_refund_keep(ngx_pinaud_refund_t *refund)
{
    ngx_queue_t           *q;
    ngx_pinaud_refunds_t  *refunds;

    refunds = refund->refunds;

    ngx_queue_insert_tail(&refunds->kept, &refund->queue);

    if (refunds->count > NGX_PINAUD_REFUND_MAX) {
        q = ngx_queue_head(&refunds->kept);
        ngx_queue_remove(q);

        ngx_pinaud_refund_drop(ngx_queue_data(q, ngx_pinaud_refund_t, queue));
    }
}


static void
ngx_pinaud_refund_event(ngx_event_t *ev)
{
    ngx_uint_t             n;
    ngx_queue_t           *q;
    ngx_connection_t      *anchor;
    ngx_pinaud_refunds_t  *refunds;

    anchor = ev->data;
    refunds = anchor->data;

    if (ngx_exiting && refunds->quits == 0) {
        refunds->quits = ngx_current_msec;
    }

    if (refunds->quits
        && ngx_current_msec - refunds->quits >= NGX_PINAUD_REFUND_EXIT)
    {
        ngx_pinaud_refunds_destroy(refunds);
        return;
    }

    ngx_add_timer(&refunds->event, NGX_PINAUD_REFUND_STEP);

    if (ngx_pinaud_redis_state(refunds->conf->worker->redis)
        != NGX_PINAUD_REDIS_READY)
    {
        return;
    }

    /* those that can't be sent now are behind these again */

    for (n = refunds->count; n && !ngx_queue_empty(&refunds->kept); n--) {
        q = ngx_queue_head(&refunds->kept);
        ngx_queue_remove(q);

        ngx_pinaud_refund_try(ngx_queue_data(q, ngx_pinaud_refund_t, queue));
    }
}


/* The charge stays, which lets nothing extra through. */

static void
ngx_pinaud_refund_drop(ngx_pinaud_refund_t *refund)
{
    ngx_pinaud_zone_store_error(ngx_pinaud_zone(refund->refunds->conf),
                                "refund");
    ngx_pinaud_refund_free(refund);
}


static void
ngx_pinaud_refund_free(ngx_pinaud_refund_t *refund)
{
    ngx_pinaud_refunds_t  *refunds;

    refunds = refund->refunds;

    if (--refunds->count == 0) {
        ngx_pinaud_redis_unwant(refunds->conf->worker->redis);

        if (refunds->event.timer_set) {
            ngx_del_timer(&refunds->event);
        }
    }

    ngx_pinaud_policy_release(refund->policy);
    ngx_free(refund);
}
