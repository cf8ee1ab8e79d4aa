
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Admission: one round trip in which Redis checks and charges every bucket
 * and hands out the sealed token.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_TRIES  3                /* late or moved, then again */


typedef struct ngx_pinaud_ask_s  ngx_pinaud_ask_t;

struct ngx_pinaud_ask_s {
    ngx_pinaud_call_t         call;
    ngx_pinaud_record_t      *record;      /* NULL: nobody waits any more */
    ngx_pinaud_policy_t      *policy;
    ngx_pinaud_main_conf_t   *conf;
    ngx_pinaud_charge_t       charge;
    ngx_uint_t                evaluated;   /* the script went along */
};


static void ngx_pinaud_admission_woken(ngx_pinaud_waiter_t *waiter,
    ngx_uint_t ready);
static ngx_int_t ngx_pinaud_admission_store_down(ngx_pinaud_record_t *record,
    const char *reason);
static ngx_int_t ngx_pinaud_admission_send(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_admission_write(ngx_pinaud_ask_t *ask,
    const char *command, size_t len, size_t deadline_at, size_t id_at);
static void ngx_pinaud_admission_reply(ngx_pinaud_call_t *call,
    redisReply *reply);
static ngx_int_t ngx_pinaud_admission_read(ngx_pinaud_ask_t *ask,
    redisReply *reply);
static void ngx_pinaud_admission_late(ngx_pinaud_ask_t *ask,
    redisReply *reply);
static ngx_int_t ngx_pinaud_admission_error(ngx_pinaud_ask_t *ask,
    redisReply *reply);
static ngx_int_t ngx_pinaud_admission_eval(ngx_pinaud_ask_t *ask);
static ngx_int_t ngx_pinaud_admission_again(ngx_pinaud_record_t *record);


ngx_int_t
ngx_pinaud_admission_ask(ngx_pinaud_record_t *record)
{
    ngx_int_t             rc;
    ngx_pinaud_worker_t  *worker;
    ngx_pinaud_policy_t  *policy;

    worker = ngx_pinaud_main_conf(record)->worker;

    if (ngx_pinaud_redis_state(worker->redis) != NGX_PINAUD_REDIS_READY) {

        record->waiter.handler = ngx_pinaud_admission_woken;

        rc = ngx_pinaud_redis_wait(worker->redis, &record->waiter);
        if (rc != NGX_OK) {
            return ngx_pinaud_admission_store_down(record, "unreachable");
        }

        record->waiting = 1;

        return NGX_AGAIN;
    }

    if (record->policy == NULL) {
        record->policy = ngx_pinaud_policy_get(worker->policies,
                                               &record->account,
                                               &record->team);
        if (record->policy == NULL) {
            return ngx_pinaud_admission_store_down(record, "memory");
        }
    }

    policy = record->policy;

    if (!ngx_pinaud_policy_fresh(policy)) {

        record->policy = NULL;

        if (ngx_pinaud_policy_ask(policy, worker->redis) != NGX_OK) {
            ngx_pinaud_policy_release(policy);
            return ngx_pinaud_admission_store_down(record, "overload");
        }

        record->waiter.handler = ngx_pinaud_admission_woken;
        ngx_queue_insert_tail(&policy->waiting, &record->waiter.queue);
        record->waiting = 1;

        /* the question holds it until all who wait are told */

        ngx_pinaud_policy_release(policy);

        return NGX_AGAIN;
    }

    if (!policy->allowed) {
        ngx_pinaud_turn_leave(record);

        record->verdict = NGX_PINAUD_REFUSED_FORBIDDEN;
        record->answered = 1;

        return NGX_OK;
    }

    rc = ngx_pinaud_turn_take(record);

    if (rc != NGX_OK) {
        return (rc == NGX_AGAIN) ? NGX_AGAIN : NGX_OK;
    }

    return ngx_pinaud_admission_send(record);
}


void
ngx_pinaud_admission_cancel(ngx_pinaud_record_t *record)
{
    ngx_pinaud_turn_leave(record);

    if (record->waiting) {
        ngx_queue_remove(&record->waiter.queue);
        record->waiting = 0;
    }

    if (record->ask) {
        record->ask->record = NULL;
        record->ask = NULL;
    }
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

    record = (ngx_pinaud_record_t *)
                 ((u_char *) waiter - offsetof(ngx_pinaud_record_t, waiter));

    record->waiting = 0;

    rc = ready ? ngx_pinaud_admission_ask(record)
               : ngx_pinaud_admission_store_down(record, "unreachable");

    if (rc == NGX_OK) {
        ngx_pinaud_request_answered(record);
    }
}


static ngx_int_t
ngx_pinaud_admission_store_down(ngx_pinaud_record_t *record,
    const char *reason)
{
    ngx_pinaud_zone_store_error(ngx_pinaud_zone(ngx_pinaud_main_conf(record)),
                                reason);
    ngx_pinaud_turn_leave(record);

    record->verdict = NGX_PINAUD_REFUSED_STORE;
    record->answered = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_pinaud_admission_send(ngx_pinaud_record_t *record)
{
    ngx_pinaud_ask_t        *ask;
    ngx_pinaud_mode_e        mode;
    ngx_pinaud_policy_t     *policy;
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = ngx_pinaud_main_conf(record);
    policy = record->policy;

    if (record->dry_run) {
        mode = NGX_PINAUD_PEEK_WRITE;

    } else if (record->report) {
        mode = record->write ? NGX_PINAUD_REPORT_WRITE
                             : NGX_PINAUD_REPORT_READ;

    } else {
        mode = record->write ? NGX_PINAUD_CHARGE_WRITE
                             : NGX_PINAUD_CHARGE_READ;
    }

    if (policy->commands[mode].data == NULL
        && ngx_pinaud_command_template(policy, pmcf, mode) != NGX_OK)
    {
        return ngx_pinaud_admission_store_down(record, "memory");
    }

    ask = ngx_alloc(sizeof(ngx_pinaud_ask_t), ngx_cycle->log);
    if (ask == NULL) {
        return ngx_pinaud_admission_store_down(record, "memory");
    }

    record->charge.mode = mode;
    record->charge.retried = record->retried;
    ngx_memcpy(record->charge.id, record->request_id.data, NGX_PINAUD_ID_LEN);

    ask->call.handler = ngx_pinaud_admission_reply;
    ask->record = record;
    ask->policy = policy;
    ask->conf = pmcf;
    ask->charge = record->charge;
    ask->evaluated = 0;

    if (ngx_pinaud_admission_write(ask, (char *) policy->commands[mode].data,
                                   policy->commands[mode].len,
                                   policy->deadline_at[mode],
                                   policy->id_at[mode])
        != NGX_OK)
    {
        ngx_free(ask);
        return ngx_pinaud_admission_store_down(record, "overload");
    }

    policy->refs++;
    record->ask = ask;
    record->tries++;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_pinaud_admission_write(ngx_pinaud_ask_t *ask, const char *command,
    size_t len, size_t deadline_at, size_t id_at)
{
    u_char              *room;
    int64_t              deadline;
    ngx_msec_t           left, timeout;
    ngx_pinaud_redis_t  *redis;

    redis = ask->conf->worker->redis;

    room = ngx_pinaud_redis_command(redis, &ask->call, len);
    if (room == NULL) {
        return NGX_ERROR;
    }

    /* a script that runs when nobody waits any more must charge nothing */

    timeout = ask->conf->store.timeout;
    left = ngx_current_msec - ask->record->asked;
    left = (left < timeout) ? timeout - left : 1;
    deadline = ngx_pinaud_redis_now(redis) + left;

    /* ms since 1970 have as many digits as there is room, until 2286 */

    ngx_memcpy(room, command, len);
    (void) ngx_pinaud_digits(room + deadline_at, deadline);
    ngx_memcpy(room + id_at, ask->charge.id, NGX_PINAUD_ID_LEN);

    return NGX_OK;
}


static void
ngx_pinaud_admission_reply(ngx_pinaud_call_t *call, redisReply *reply)
{
    ngx_int_t             rc;
    ngx_pinaud_ask_t     *ask;
    ngx_pinaud_record_t  *record;

    ask = (ngx_pinaud_ask_t *) call;

    if (reply && reply->type == REDIS_REPLY_ERROR
        && ngx_pinaud_admission_error(ask, reply) == NGX_AGAIN)
    {
        return;
    }

    record = ask->record;

    if (record == NULL) {
        ngx_pinaud_admission_late(ask, reply);
        rc = NGX_DONE;

    } else {
        record->ask = NULL;
        rc = ngx_pinaud_admission_read(ask, reply);
    }

    ngx_pinaud_policy_release(ask->policy);
    ngx_free(ask);

    if (rc == NGX_OK) {
        ngx_pinaud_request_answered(record);
    }
}


static ngx_int_t
ngx_pinaud_admission_read(ngx_pinaud_ask_t *ask, redisReply *reply)
{
    ngx_pinaud_record_t  *record;

    record = ask->record;

    if (reply == NULL) {
        return ngx_pinaud_admission_store_down(record, "connection");
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        return ngx_pinaud_admission_store_down(record, "error");
    }

    if (ngx_pinaud_verdict_read(record, reply) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, record->request->connection->log, 0,
                      "pinaud: reply of the store is not understood");

        return ngx_pinaud_admission_store_down(record, "malformed");
    }

    ngx_pinaud_redis_good(ask->conf->worker->redis);

    if (record->verdict == NGX_PINAUD_REFUSED_LATE
        || record->verdict == NGX_PINAUD_REFUSED_MOVED)
    {
        return ngx_pinaud_admission_again(record);
    }

    if (ngx_pinaud_turn_told(record) == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    record->answered = 1;

    return NGX_OK;
}


/* The request is gone. What its reply charged is given back. */

static void
ngx_pinaud_admission_late(ngx_pinaud_ask_t *ask, redisReply *reply)
{
    if (reply && ask->charge.mode != NGX_PINAUD_PEEK_WRITE
        && ngx_pinaud_verdict_charged(reply, &ask->charge.at))
    {
        ngx_pinaud_refund(ask->conf, ask->policy, &ask->charge);
    }
}


/*
 * An error for a reply. NGX_AGAIN: the script was not there, and goes along
 * this time. Of the text only the leading word may be repeated: the rest can
 * hold what was sent.
 */

static ngx_int_t
ngx_pinaud_admission_error(ngx_pinaud_ask_t *ask, redisReply *reply)
{
    u_char              *p, *last;
    ngx_uint_t           i;
    ngx_pinaud_redis_t  *redis;

    static const char  *useless[] = {
        "LOADING", "READONLY", "NOAUTH", "NOPERM", "MASTERDOWN", "OOM",
        "BUSY", "MISCONF", "CLUSTERDOWN", NULL
    };

    if (ngx_strncmp(reply->str, "NOSCRIPT", 8) == 0 && !ask->evaluated) {
        ask->evaluated = 1;
        return ask->record ? ngx_pinaud_admission_eval(ask) : NGX_ERROR;
    }

    redis = ask->conf->worker->redis;

    for (i = 0; useless[i]; i++) {
        if (ngx_strncmp(reply->str, useless[i], ngx_strlen(useless[i])) == 0) {
            ngx_pinaud_redis_drop(redis, useless[i]);
            return NGX_ERROR;
        }
    }

    last = (u_char *) reply->str + reply->len;

    for (p = (u_char *) reply->str; p < last && *p >= 'A' && *p <= 'Z'; p++) {
        /* void */
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "pinaud: store refused an admission: \"%*s\"",
                  (size_t) (p - (u_char *) reply->str), reply->str);

    return NGX_ERROR;
}


static ngx_int_t
ngx_pinaud_admission_eval(ngx_pinaud_ask_t *ask)
{
    int        n;
    char      *command;
    size_t     deadline_at, id_at;
    ngx_int_t  rc;

    n = ngx_pinaud_command_admit(ask->policy, ask->charge.mode, "EVAL",
                                    ask->conf->admit.text,
                                    ask->conf->admit.text_len, &command,
                                    &deadline_at, &id_at);
    if (n < 0) {
        return NGX_ERROR;
    }

    rc = ngx_pinaud_admission_write(ask, command, n, deadline_at, id_at);

    redisFreeCommand(command);

    return (rc == NGX_OK) ? NGX_AGAIN : NGX_ERROR;
}


/*
 * Too late by Redis's clock, which the reply told anew, or the account is
 * being moved: another try, while the request's own timer has not expired.
 */

static ngx_int_t
ngx_pinaud_admission_again(ngx_pinaud_record_t *record)
{
    if (record->tries >= NGX_PINAUD_TRIES) {
        return ngx_pinaud_admission_store_down(record, "late");
    }

    ngx_pinaud_policy_expire(record->policy);
    ngx_pinaud_policy_release(record->policy);
    record->policy = NULL;

    return ngx_pinaud_admission_ask(record);
}
