
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Questions to Redis. Requests of one account and team that want admission in
 * the same turn of the event loop ask with one call of admit.lua: most of what
 * a decision costs Redis, and the reply the worker, is by the call.
 */


#include "ngx_pinaud.h"


typedef struct {
    ngx_pinaud_record_t      *record;      /* NULL: it waits no more */
    ngx_pinaud_charge_t       charge;
} ngx_pinaud_asker_t;


typedef struct ngx_pinaud_ask_s  ngx_pinaud_ask_t;

struct ngx_pinaud_ask_s {
    ngx_pinaud_call_t         call;
    ngx_queue_t               queue;       /* to be sent */
    ngx_pinaud_main_conf_t   *conf;
    ngx_pinaud_policy_t      *policy;
    ngx_pinaud_mode_e         mode;
    ngx_uint_t                whole;       /* the script goes along */
    ngx_msec_t                sent;
    ngx_uint_t                count;
    ngx_pinaud_asker_t        askers[NGX_PINAUD_BATCH];
};


static ngx_pinaud_mode_e ngx_pinaud_ask_mode(ngx_pinaud_record_t *record);
static ngx_pinaud_ask_t *ngx_pinaud_ask_begin(ngx_pinaud_record_t *record,
    ngx_pinaud_mode_e mode);
static void ngx_pinaud_ask_event(ngx_event_t *ev);
static void ngx_pinaud_ask_compact(ngx_pinaud_ask_t *ask);
static void ngx_pinaud_ask_send(ngx_pinaud_ask_t *ask,
    ngx_pinaud_command_t *command);
static ngx_msec_t ngx_pinaud_ask_left(ngx_pinaud_ask_t *ask);
static void ngx_pinaud_ask_reply(ngx_pinaud_call_t *call, redisReply *from);
static ngx_int_t ngx_pinaud_ask_error(ngx_pinaud_ask_t *ask,
    redisReply *from);
static ngx_int_t ngx_pinaud_ask_whole(ngx_pinaud_ask_t *ask);
static void ngx_pinaud_ask_apply(ngx_pinaud_ask_t *ask,
    ngx_pinaud_reply_t *reply);
static void ngx_pinaud_ask_fail(ngx_pinaud_ask_t *ask, const char *reason);
static void ngx_pinaud_ask_free(ngx_pinaud_ask_t *ask);


void
ngx_pinaud_ask_init(ngx_pinaud_worker_t *worker)
{
    ngx_queue_init(&worker->asks);

    worker->send.handler = ngx_pinaud_ask_event;
    worker->send.data = worker;
    worker->send.log = ngx_cycle->log;
}


ngx_int_t
ngx_pinaud_ask_join(ngx_pinaud_record_t *record)
{
    ngx_pinaud_ask_t     *ask;
    ngx_pinaud_mode_e     mode;
    ngx_pinaud_asker_t   *asker;
    ngx_pinaud_policy_t  *policy;

    policy = record->policy;
    mode = ngx_pinaud_ask_mode(record);

    ask = policy->asks[mode];

    if (ask == NULL) {
        ask = ngx_pinaud_ask_begin(record, mode);
        if (ask == NULL) {
            return NGX_ERROR;
        }
    }

    record->charge.mode = mode;
    record->charge.retried = record->retried;
    ngx_memcpy(record->charge.id, record->request_id.data, NGX_PINAUD_ID_LEN);

    record->ask = ask;
    record->asker = ask->count;

    asker = &ask->askers[ask->count++];
    asker->record = record;
    asker->charge = record->charge;

    /* each dry run is told what it alone would get */

    policy->asks[mode] = (ask->count == NGX_PINAUD_BATCH
                          || mode == NGX_PINAUD_PEEK_WRITE) ? NULL : ask;

    return NGX_OK;
}


void
ngx_pinaud_ask_leave(ngx_pinaud_record_t *record)
{
    if (record->ask) {
        record->ask->askers[record->asker].record = NULL;
        record->ask = NULL;
    }
}


static ngx_pinaud_mode_e
ngx_pinaud_ask_mode(ngx_pinaud_record_t *record)
{
    if (record->dry_run) {
        return NGX_PINAUD_PEEK_WRITE;
    }

    if (record->report) {
        return record->write ? NGX_PINAUD_REPORT_WRITE
                             : NGX_PINAUD_REPORT_READ;
    }

    return record->write ? NGX_PINAUD_CHARGE_WRITE : NGX_PINAUD_CHARGE_READ;
}


static ngx_pinaud_ask_t *
ngx_pinaud_ask_begin(ngx_pinaud_record_t *record, ngx_pinaud_mode_e mode)
{
    ngx_pinaud_ask_t        *ask;
    ngx_pinaud_policy_t     *policy;
    ngx_pinaud_worker_t     *worker;
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = ngx_pinaud_main_conf(record);
    policy = record->policy;
    worker = pmcf->worker;

    if (policy->commands[mode].data == NULL) {

        /* it was read anew: time for its credential, too */

        ngx_pinaud_renewal_look(pmcf, policy);

        if (ngx_pinaud_command_admit(policy, mode, &pmcf->admit, 0,
                                     &policy->commands[mode])
            != NGX_OK)
        {
            return NULL;
        }
    }

    ask = ngx_alloc(sizeof(ngx_pinaud_ask_t), ngx_cycle->log);
    if (ask == NULL) {
        return NULL;
    }

    ask->call.handler = ngx_pinaud_ask_reply;
    ask->conf = pmcf;
    ask->policy = policy;
    ask->mode = mode;
    ask->whole = 0;
    ask->count = 0;

    policy->cached.refs++;
    ngx_pinaud_redis_want(worker->redis);

    ngx_queue_insert_tail(&worker->asks, &ask->queue);

    if (!worker->send.posted) {
        ngx_post_event(&worker->send, &ngx_posted_events);
    }

    return ask;
}


/* The end of a turn of the event loop: whoever wanted to ask has joined. */

static void
ngx_pinaud_ask_event(ngx_event_t *ev)
{
    ngx_queue_t          *q;
    ngx_pinaud_ask_t     *ask;
    ngx_pinaud_policy_t  *policy;
    ngx_pinaud_worker_t  *worker;

    worker = ev->data;

    while (!ngx_queue_empty(&worker->asks)) {
        q = ngx_queue_head(&worker->asks);
        ngx_queue_remove(q);

        ask = ngx_queue_data(q, ngx_pinaud_ask_t, queue);
        policy = ask->policy;

        if (policy->asks[ask->mode] == ask) {
            policy->asks[ask->mode] = NULL;
        }

        ngx_pinaud_redis_unwant(worker->redis);
        ngx_pinaud_ask_send(ask, &policy->commands[ask->mode]);
    }
}


static void
ngx_pinaud_ask_send(ngx_pinaud_ask_t *ask, ngx_pinaud_command_t *command)
{
    u_char              *room, *p;
    ngx_pinaud_redis_t  *redis;

    redis = ask->conf->worker->redis;

    ngx_pinaud_ask_compact(ask);

    if (ask->count == 0) {
        ngx_pinaud_ask_free(ask);
        return;
    }

    if (ngx_pinaud_redis_state(redis) != NGX_PINAUD_REDIS_READY) {
        ngx_pinaud_ask_fail(ask, "unreachable");
        return;
    }

    room = ngx_pinaud_redis_command(redis, ask->policy->slot, &ask->call,
                                    command->len);

    if (room == NULL) {
        ngx_pinaud_ask_fail(ask, "overload");
        return;
    }

    ask->sent = ngx_current_msec;

    ngx_memcpy(room, command->data, command->len);

    /* ms since 1970 have as many digits as there is room, until 2286 */

    (void) ngx_pinaud_digits(room + command->deadline,
                             ngx_pinaud_redis_now(redis, ask->policy->slot)
                             + ngx_pinaud_ask_left(ask));

    ngx_memcpy(room + command->id, ask->askers[0].charge.id,
               NGX_PINAUD_ID_LEN);

    p = room + command->count;
    p[0] = '0' + ask->count / 10;
    p[1] = '0' + ask->count % 10;
}


/* Who left before the question went out is not asked for. */

static void
ngx_pinaud_ask_compact(ngx_pinaud_ask_t *ask)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < ask->count; i++) {

        if (ask->askers[i].record) {
            ask->askers[n] = ask->askers[i];
            ask->askers[n].record->asker = n;
            n++;
        }
    }

    ask->count = n;
}


/* A script that runs when nobody waits any more must charge nothing. */

static ngx_msec_t
ngx_pinaud_ask_left(ngx_pinaud_ask_t *ask)
{
    ngx_uint_t  i;
    ngx_msec_t  waited, longest, timeout;

    longest = 0;
    timeout = ask->conf->store.timeout;

    for (i = 0; i < ask->count; i++) {
        waited = ngx_current_msec - ask->askers[i].record->asked;
        longest = ngx_max(longest, waited);
    }

    return (longest < timeout) ? timeout - longest : 1;
}


static void
ngx_pinaud_ask_reply(ngx_pinaud_call_t *call, redisReply *from)
{
    ngx_pinaud_ask_t    *ask;
    ngx_pinaud_reply_t   reply;

    ask = (ngx_pinaud_ask_t *) call;

    if (from == NULL) {
        ngx_pinaud_ask_fail(ask, "connection");
        return;
    }

    if (from->type == REDIS_REPLY_ERROR) {

        if (ngx_pinaud_ask_error(ask, from) != NGX_AGAIN) {
            ngx_pinaud_ask_fail(ask, "error");
        }

        return;
    }

    if (ngx_pinaud_verdict_read(from, &reply) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "pinaud: reply of the store is not understood");

        ngx_pinaud_ask_fail(ask, "malformed");
        return;
    }

    ngx_pinaud_redis_good(call);
    ngx_pinaud_redis_clock(call, reply.now, ask->sent);

    if (reply.nlimits && reply.limits[0].bucket == NGX_PINAUD_COOLDOWN) {
        ngx_pinaud_cooldown_known(ask->conf, ask->policy,
                                  (reply.limits[0].reset + 999) / 1000);
    }

    if (reply.sealed->len) {
        ngx_pinaud_version_check(ask->conf, ask->policy, &reply);
    }

    ngx_pinaud_ask_apply(ask, &reply);
    ngx_pinaud_ask_free(ask);
}


/*
 * First all are told, then they go on: what one does can end another, on the
 * same connection of HTTP/2. What was charged for who left is given back.
 */

static void
ngx_pinaud_ask_apply(ngx_pinaud_ask_t *ask, ngx_pinaud_reply_t *reply)
{
    ngx_uint_t            i;
    ngx_pinaud_asker_t   *asker;
    ngx_pinaud_record_t  *record;

    if (reply->admitted && ask->mode == NGX_PINAUD_CHARGE_WRITE
        && !reply->older)
    {
        ngx_pinaud_outage_admitted(ask->conf, ask->policy, reply);
    }

    for (i = 0; i < ask->count; i++) {
        asker = &ask->askers[i];

        if (asker->record) {
            ngx_pinaud_verdict_apply(asker->record, reply, i);

        } else if (i < reply->admitted && ask->mode != NGX_PINAUD_PEEK_WRITE) {
            asker->charge.at = reply->now;
            asker->charge.buckets = ngx_pinaud_verdict_buckets(reply,
                                                               ask->policy, i);
            ngx_pinaud_refund(ask->conf, ask->policy, &asker->charge);
        }
    }

    if (reply->newer && reply->token) {
        ngx_pinaud_version_used(ask->conf, ask->policy, reply);
    }

    for (i = 0; i < ask->count; i++) {
        record = ask->askers[i].record;

        if (record == NULL) {
            continue;
        }

        ngx_pinaud_ask_leave(record);

        if (ngx_pinaud_admission_told(record) == NGX_OK) {
            ngx_pinaud_request_answered(record);
        }
    }
}


/*
 * An error for a reply. NGX_AGAIN: the script was not there, and goes along
 * this time. Of the text only the leading word may be repeated: the rest can
 * hold what was sent.
 */

static ngx_int_t
ngx_pinaud_ask_error(ngx_pinaud_ask_t *ask, redisReply *from)
{
    u_char      *p, *last;
    ngx_uint_t   i;

    static const char  *useless[] = {
        "LOADING", "READONLY", "NOAUTH", "NOPERM", "MASTERDOWN", "OOM",
        "BUSY", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", NULL
    };

    if (ngx_strncmp(from->str, "NOSCRIPT", 8) == 0 && !ask->whole) {
        return ngx_pinaud_ask_whole(ask);
    }

    for (i = 0; useless[i]; i++) {
        if (ngx_strncmp(from->str, useless[i], ngx_strlen(useless[i])) == 0) {
            ngx_pinaud_redis_drop(&ask->call, useless[i]);
            return NGX_ERROR;
        }
    }

    last = (u_char *) from->str + from->len;

    for (p = (u_char *) from->str; p < last && *p >= 'A' && *p <= 'Z'; p++) {
        /* void */
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "pinaud: store refused an admission: \"%*s\"",
                  (size_t) (p - (u_char *) from->str), from->str);

    return NGX_ERROR;
}


static ngx_int_t
ngx_pinaud_ask_whole(ngx_pinaud_ask_t *ask)
{
    ngx_pinaud_command_t  command;

    ask->whole = 1;

    if (ngx_pinaud_command_admit(ask->policy, ask->mode, &ask->conf->admit, 1,
                                 &command)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_pinaud_ask_send(ask, &command);

    ngx_free(command.data);

    return NGX_AGAIN;
}


static void
ngx_pinaud_ask_fail(ngx_pinaud_ask_t *ask, const char *reason)
{
    ngx_uint_t            i;
    ngx_pinaud_record_t  *record;

    for (i = 0; i < ask->count; i++) {
        record = ask->askers[i].record;

        if (record == NULL) {
            continue;
        }

        ngx_pinaud_ask_leave(record);

        (void) ngx_pinaud_admission_store_down(record, reason);
        ngx_pinaud_request_answered(record);
    }

    ngx_pinaud_ask_free(ask);
}


static void
ngx_pinaud_ask_free(ngx_pinaud_ask_t *ask)
{
    ngx_pinaud_policy_release(ask->policy);
    ngx_free(ask);
}
