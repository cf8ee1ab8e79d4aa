
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a worker reads of credentials' records, beside the tokens that come
 * with admissions: all the time while somebody waits for a newer one, one read
 * at a time, and now and then for the zone.
 */


#include "ngx_pinaud_renew.h"


#define NGX_PINAUD_RENEWAL_POLL    100     /* ms: while somebody waits */
#define NGX_PINAUD_RENEWAL_LOOK    4000    /* ms: else */
#define NGX_PINAUD_RENEWAL_MAX     256     /* credentials */
#define NGX_PINAUD_RENEWAL_FIELDS  4


struct ngx_pinaud_renewals_s {
    ngx_queue_t               queue;       /* the last used first */
    ngx_uint_t                count;
};


static ngx_pinaud_renewal_t *ngx_pinaud_renewal_create(
    ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_policy_t *policy);
static ngx_int_t ngx_pinaud_renewals_trim(ngx_pinaud_renewals_t *renewals);
static void ngx_pinaud_renewal_free(ngx_pinaud_renewals_t *renewals,
    ngx_pinaud_renewal_t *renewal);
static void ngx_pinaud_renewal_event(ngx_event_t *ev);
static void ngx_pinaud_renewal_read(ngx_pinaud_renewal_t *renewal);
static void ngx_pinaud_renewal_link(ngx_pinaud_waiter_t *waiter,
    ngx_uint_t ready);
static void ngx_pinaud_renewal_reply(ngx_pinaud_call_t *call,
    redisReply *reply);
static ngx_int_t ngx_pinaud_renewal_take(ngx_pinaud_renewal_t *renewal,
    redisReply *reply);
static ngx_int_t ngx_pinaud_renewal_number(redisReply *reply, off_t *number);
static ngx_pinaud_state_e ngx_pinaud_renewal_state(redisReply *reply);


static const char  *ngx_pinaud_states[NGX_PINAUD_STATES] = {
    [NGX_PINAUD_STATE_UNKNOWN] = "unknown",
    [NGX_PINAUD_STATE_OK] = "ok",
    [NGX_PINAUD_STATE_RETRYING] = "retrying",
    [NGX_PINAUD_STATE_NEEDS_AUTHORIZATION] = "needs-authorization",
    [NGX_PINAUD_STATE_WRONG_CLIENT] = "wrong-client"
};


ngx_pinaud_renewals_t *
ngx_pinaud_renewals_create(ngx_pool_t *pool)
{
    ngx_pinaud_renewals_t  *renewals;

    renewals = ngx_pcalloc(pool, sizeof(ngx_pinaud_renewals_t));
    if (renewals == NULL) {
        return NULL;
    }

    ngx_queue_init(&renewals->queue);

    return renewals;
}


void
ngx_pinaud_renewals_destroy(ngx_pinaud_renewals_t *renewals)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&renewals->queue)) {
        q = ngx_queue_head(&renewals->queue);
        ngx_pinaud_renewal_free(renewals,
                           ngx_queue_data(q, ngx_pinaud_renewal_t, queue));
    }
}


void
ngx_pinaud_renewal_look(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy)
{
    ngx_pinaud_renewal_t  *renewal;

    renewal = ngx_pinaud_renewal(pmcf, policy);

    if (renewal && !renewal->asking
        && ngx_current_msec - renewal->read >= NGX_PINAUD_RENEWAL_LOOK)
    {
        ngx_pinaud_renewal_read(renewal);
    }
}


const char *
ngx_pinaud_state_name(ngx_pinaud_state_e state)
{
    return ngx_pinaud_states[state];
}


ngx_pinaud_renewal_t *
ngx_pinaud_renewal(ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_policy_t *policy)
{
    ngx_queue_t            *q;
    ngx_pinaud_renewal_t   *renewal;
    ngx_pinaud_renewals_t  *renewals;

    renewals = pmcf->worker->renewals;

    for (q = ngx_queue_head(&renewals->queue);
         q != ngx_queue_sentinel(&renewals->queue);
         q = ngx_queue_next(q))
    {
        renewal = ngx_queue_data(q, ngx_pinaud_renewal_t, queue);

        if (ngx_memn2cmp(renewal->name.data, policy->credential,
                         renewal->name.len, policy->credential_len)
            == 0)
        {
            ngx_queue_remove(q);
            ngx_queue_insert_head(&renewals->queue, q);

            return renewal;
        }
    }

    return ngx_pinaud_renewal_create(pmcf, policy);
}


static ngx_pinaud_renewal_t *
ngx_pinaud_renewal_create(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy)
{
    ngx_pinaud_renewal_t   *renewal;
    ngx_pinaud_renewals_t  *renewals;

    renewals = pmcf->worker->renewals;

    if (renewals->count == NGX_PINAUD_RENEWAL_MAX
        && ngx_pinaud_renewals_trim(renewals) != NGX_OK)
    {
        return NULL;
    }

    renewal = ngx_calloc(sizeof(ngx_pinaud_renewal_t), ngx_cycle->log);
    if (renewal == NULL) {
        return NULL;
    }

    renewal->conf = pmcf;
    renewal->log = ngx_cycle->log;
    renewal->ident = -1;

    renewal->event.handler = ngx_pinaud_renewal_event;
    renewal->event.data = renewal;
    renewal->event.log = ngx_cycle->log;

    /* who waits has a timer of his own, which a quitting worker waits for */

    renewal->event.cancelable = 1;

    renewal->call.handler = ngx_pinaud_renewal_reply;
    ngx_queue_init(&renewal->waiting);

    renewal->name.data = renewal->data;
    renewal->name.len = policy->credential_len;
    renewal->slot = policy->slot;
    ngx_memcpy(renewal->data, policy->credential, policy->credential_len);

    renewal->read = ngx_current_msec - NGX_PINAUD_RENEWAL_LOOK;
    renewal->told_at = ngx_current_msec - NGX_PINAUD_RENEW_TELL;

    ngx_queue_insert_head(&renewals->queue, &renewal->queue);
    renewals->count++;

    return renewal;
}


/* Forgets the one that was used the longest ago, and is at rest. */

static ngx_int_t
ngx_pinaud_renewals_trim(ngx_pinaud_renewals_t *renewals)
{
    ngx_queue_t           *q;
    ngx_pinaud_renewal_t  *renewal;

    for (q = ngx_queue_last(&renewals->queue);
         q != ngx_queue_sentinel(&renewals->queue);
         q = ngx_queue_prev(q))
    {
        renewal = ngx_queue_data(q, ngx_pinaud_renewal_t, queue);

        if (!renewal->asking && ngx_queue_empty(&renewal->waiting)) {
            ngx_pinaud_renewal_free(renewals, renewal);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static void
ngx_pinaud_renewal_free(ngx_pinaud_renewals_t *renewals,
    ngx_pinaud_renewal_t *renewal)
{
    ngx_queue_remove(&renewal->queue);
    renewals->count--;

    if (renewal->holding) {
        ngx_pinaud_redis_unwant(renewal->conf->worker->redis);
    }

    if (renewal->event.timer_set) {
        ngx_del_timer(&renewal->event);
    }

    if (renewal->event.posted) {
        ngx_delete_posted_event(&renewal->event);
    }

    ngx_free(renewal);
}


ngx_uint_t
ngx_pinaud_renewal_newer(ngx_pinaud_renewal_t *renewal, uint64_t version)
{
    int64_t  now;

    now = ngx_pinaud_redis_now(renewal->conf->worker->redis, renewal->slot);

    return renewal->version > version
           && (renewal->expires == 0
               || now < (int64_t) renewal->expires * 1000);
}


ngx_uint_t
ngx_pinaud_renewal_dead(ngx_pinaud_renewal_t *renewal)
{
    return renewal->state == NGX_PINAUD_STATE_UNKNOWN
           || ngx_pinaud_state_unattended(renewal->state);
}


void
ngx_pinaud_renewal_schedule(ngx_pinaud_renewal_t *renewal)
{
    ngx_uint_t           idle;
    ngx_msec_int_t       wait;
    ngx_pinaud_redis_t  *redis;

    if (renewal->asking) {
        return;
    }

    redis = renewal->conf->worker->redis;
    idle = ngx_queue_empty(&renewal->waiting);

    /* a worker that quits keeps the link for those who wait */

    if (idle && renewal->holding) {
        renewal->holding = 0;
        ngx_pinaud_redis_unwant(redis);

    } else if (!idle && !renewal->holding) {
        renewal->holding = 1;
        ngx_pinaud_redis_want(redis);
    }

    if (idle && !ngx_pinaud_renew_untold(renewal)) {
        return;
    }

    wait = renewal->read + NGX_PINAUD_RENEWAL_POLL - ngx_current_msec;

    if (wait <= 0) {

        if (!renewal->event.posted) {
            ngx_post_event(&renewal->event, &ngx_posted_events);
        }

    } else if (!renewal->event.timer_set) {
        ngx_add_timer(&renewal->event, wait);
    }
}


static void
ngx_pinaud_renewal_event(ngx_event_t *ev)
{
    ngx_pinaud_renewal_t  *renewal;

    renewal = ev->data;

    if (renewal->asking) {
        return;
    }

    if (ngx_queue_empty(&renewal->waiting)
        && !ngx_pinaud_renew_untold(renewal))
    {
        ngx_pinaud_renewal_schedule(renewal);
        return;
    }

    ngx_pinaud_renewal_read(renewal);
}


static void
ngx_pinaud_renewal_read(ngx_pinaud_renewal_t *renewal)
{
    char                 key[PINAUD_KEY_MAX];
    size_t               lens[2 + NGX_PINAUD_RENEWAL_FIELDS];
    const char          *args[2 + NGX_PINAUD_RENEWAL_FIELDS];
    ngx_uint_t           i;
    ngx_pinaud_redis_t  *redis;

    static const char  *fields[NGX_PINAUD_RENEWAL_FIELDS] = {
        "version", "expires", "refresh_expires", "state"
    };

    redis = renewal->conf->worker->redis;
    renewal->read = ngx_current_msec;

    if (ngx_pinaud_redis_state(redis) != NGX_PINAUD_REDIS_READY) {

        renewal->link.handler = ngx_pinaud_renewal_link;

        if (ngx_pinaud_redis_wait(redis, &renewal->link) == NGX_OK) {
            renewal->asking = 1;
            return;
        }

        ngx_pinaud_renewal_schedule(renewal);
        return;
    }

    args[0] = "HMGET";
    lens[0] = 5;
    args[1] = key;
    lens[1] = pinaud_key_credential(key, (char *) renewal->name.data,
                                    renewal->name.len);

    for (i = 0; i < NGX_PINAUD_RENEWAL_FIELDS; i++) {
        args[2 + i] = fields[i];
        lens[2 + i] = ngx_strlen(fields[i]);
    }

    if (ngx_pinaud_redis_send(redis, &renewal->call,
                              2 + NGX_PINAUD_RENEWAL_FIELDS, args, lens)
        == NGX_OK)
    {
        renewal->asking = 1;
        return;
    }

    ngx_pinaud_renewal_schedule(renewal);
}


static void
ngx_pinaud_renewal_link(ngx_pinaud_waiter_t *waiter, ngx_uint_t ready)
{
    ngx_pinaud_renewal_t  *renewal;

    renewal = (ngx_pinaud_renewal_t *)
                  ((u_char *) waiter - offsetof(ngx_pinaud_renewal_t, link));

    renewal->asking = 0;

    if (ready) {
        ngx_pinaud_renewal_read(renewal);

    } else {
        ngx_pinaud_renewal_schedule(renewal);
    }
}


/* It stays "asking" to the end, so that nobody forgets it meanwhile. */

static void
ngx_pinaud_renewal_reply(ngx_pinaud_call_t *call, redisReply *reply)
{
    ngx_pinaud_renewal_t  *renewal;

    renewal = (ngx_pinaud_renewal_t *)
                  ((u_char *) call - offsetof(ngx_pinaud_renewal_t, call));

    if (reply) {

        if (ngx_pinaud_renewal_take(renewal, reply) == NGX_OK) {
            ngx_pinaud_renew_tell(renewal);
            ngx_pinaud_waiters_tell(&renewal->waiting, 1);

        } else {
            ngx_pinaud_zone_store_error(ngx_pinaud_zone(renewal->conf),
                                        "credential");

            if (ngx_queue_empty(&renewal->waiting)) {
                renewal->how = NGX_PINAUD_HOW_NONE;
            }
        }
    }

    renewal->asking = 0;
    ngx_pinaud_renewal_schedule(renewal);
}


static ngx_int_t
ngx_pinaud_renewal_take(ngx_pinaud_renewal_t *renewal, redisReply *reply)
{
    off_t               numbers[3];
    ngx_uint_t          i;
    ngx_str_t          *name;
    ngx_pinaud_zone_t  *zone;

    if (reply->type != REDIS_REPLY_ARRAY
        || reply->elements != NGX_PINAUD_RENEWAL_FIELDS)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < 3; i++) {
        if (ngx_pinaud_renewal_number(reply->element[i], &numbers[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    renewal->version = numbers[0];
    renewal->expires = numbers[1];
    renewal->state = (reply->element[0]->type == REDIS_REPLY_NIL)
                     ? NGX_PINAUD_STATE_UNKNOWN
                     : ngx_pinaud_renewal_state(reply->element[3]);

    if (renewal->version > renewal->older) {
        renewal->older = 0;
    }

    zone = ngx_pinaud_zone(renewal->conf);
    name = &renewal->name;

    ngx_pinaud_zone_learn(zone, name, NGX_PINAUD_FACT_EXPIRES, numbers[1]);
    ngx_pinaud_zone_learn(zone, name, NGX_PINAUD_FACT_REFRESH_EXPIRES,
                          numbers[2]);
    ngx_pinaud_zone_learn(zone, name, NGX_PINAUD_FACT_STATE, renewal->state);

    return NGX_OK;
}


/* A number of a record; a field that is not there is 0. */

static ngx_int_t
ngx_pinaud_renewal_number(redisReply *reply, off_t *number)
{
    if (reply->type == REDIS_REPLY_NIL) {
        *number = 0;
        return NGX_OK;
    }

    if (reply->type != REDIS_REPLY_STRING) {
        return NGX_ERROR;
    }

    *number = ngx_atoof((u_char *) reply->str, reply->len);

    return (*number == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


/* A word of a later version is taken for the one that asks for patience. */

static ngx_pinaud_state_e
ngx_pinaud_renewal_state(redisReply *reply)
{
    ngx_uint_t  i;

    if (reply->type != REDIS_REPLY_STRING) {
        return NGX_PINAUD_STATE_OK;
    }

    for (i = NGX_PINAUD_STATE_OK; i < NGX_PINAUD_STATES; i++) {

        if (ngx_strcmp(reply->str, ngx_pinaud_states[i]) == 0) {
            return i;
        }
    }

    return NGX_PINAUD_STATE_RETRYING;
}
