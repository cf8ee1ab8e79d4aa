
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Whose a team key is. Redis is asked by the key's SHA-256, and what it says
 * is kept as all that is cached, by the hash alone: keys are kept nowhere. One
 * that has not the form of a key, or a wrong checksum, is asked for never. Who
 * guesses may make a worker ask for so many keys that it never saw, and no
 * more.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_CALLER_OUTAGE     60000 /* ms: as long as units hold */
#define NGX_PINAUD_CALLER_STRANGERS  1000  /* a second and worker */


typedef struct {
    ngx_pinaud_cached_t          cached;   /* first */
    size_t                       team_len; /* 0: there is no such key */
    u_char                       team[PINAUD_NAME_MAX];
} ngx_pinaud_caller_t;


static ngx_int_t ngx_pinaud_caller_look(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_caller_read(ngx_pinaud_record_t *record,
    ngx_pinaud_cached_t *cached);
static ngx_uint_t ngx_pinaud_caller_stranger(ngx_pinaud_worker_t *worker,
    ngx_pinaud_cached_t *cached);
static ngx_int_t ngx_pinaud_caller_query(ngx_pinaud_cached_t *cached,
    ngx_pinaud_redis_t *redis);
static void ngx_pinaud_caller_woken(ngx_pinaud_waiter_t *waiter,
    ngx_uint_t ready);
static ngx_pinaud_cached_t *ngx_pinaud_caller_get(
    ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_caller_told(ngx_pinaud_record_t *record,
    ngx_pinaud_cached_t *cached);
static void ngx_pinaud_caller_hide(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_caller_refused(ngx_pinaud_record_t *record,
    ngx_pinaud_verdict_e verdict);
static const char *ngx_pinaud_caller_reply(ngx_pinaud_cached_t *cached,
    ngx_pinaud_cached_t *old, redisReply *reply);
static const char *ngx_pinaud_caller_mac(ngx_pinaud_cached_t *cached,
    redisReply *team, redisReply *mac);
static void ngx_pinaud_caller_log(ngx_pinaud_cached_t *cached,
    const char *reason);


const ngx_pinaud_cache_kind_t  ngx_pinaud_caller_kind = {
    sizeof(ngx_pinaud_caller_t),
    { 1024, 4096 },
    ngx_pinaud_caller_reply,
    ngx_pinaud_caller_log,
    NULL
};


ngx_int_t
ngx_pinaud_caller_key(ngx_pinaud_record_t *record,
    ngx_http_complex_value_t *cv)
{
    ngx_str_t            key;
    ngx_http_request_t  *r;

    r = record->request;

    if (ngx_http_complex_value(r, cv, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    if (key.len >= 7
        && ngx_strncasecmp(key.data, (u_char *) "Bearer ", 7) == 0)
    {
        key.data += 7;
        key.len -= 7;

        while (key.len && *key.data == ' ') {
            key.data++;
            key.len--;
        }
    }

    if (key.len == 0) {
        return NGX_OK;
    }

    record->team_key.data = ngx_pstrdup(r->pool, &key);
    if (record->team_key.data == NULL) {
        return NGX_ERROR;
    }

    record->team_key.len = key.len;

    ngx_pinaud_caller_hide(record);

    return NGX_OK;
}


/*
 * The client's fields are kept until the request's end, and any log format can
 * tell them: $http_authorization is one that is in use.
 */

static void
ngx_pinaud_caller_hide(ngx_pinaud_record_t *record)
{
    u_char             *p, *end;
    ngx_str_t          *key;
    ngx_table_elt_t    *h;
    ngx_pinaud_walk_t   walk;

    key = &record->team_key;

    ngx_pinaud_walk(&walk, &record->request->headers_in.headers);

    while ((h = ngx_pinaud_walk_next(&walk)) != NULL) {

        p = h->value.data;
        end = p + h->value.len;

        while ((size_t) (end - p) >= key->len) {

            if (ngx_memcmp(p, key->data, key->len) != 0) {
                p++;
                continue;
            }

            ngx_memset(p, '*', key->len);
            p += key->len;
        }
    }
}


ngx_int_t
ngx_pinaud_caller_ask(ngx_pinaud_record_t *record)
{
    ngx_str_t            *key;
    ngx_pinaud_worker_t  *worker;

    key = &record->team_key;

    if (record->identified) {

        if (ngx_pinaud_cache_young(record->identified_at)) {
            return NGX_OK;
        }

        return ngx_pinaud_caller_look(record);
    }

    if (!pinaud_team_key_check(key->data, key->len)) {
        return ngx_pinaud_caller_refused(record, NGX_PINAUD_REFUSED_CALLER);
    }

    worker = ngx_pinaud_main_conf(record)->worker;

    if (pinaud_team_key_hash(worker->hasher, key->data, key->len,
                             record->team_key_hash)
        != 0)
    {
        ngx_ssl_error(NGX_LOG_ERR, record->request->connection->log, 0,
                      "SHA-256 failed");
        return ngx_pinaud_caller_refused(record, NGX_PINAUD_REFUSED_STORE);
    }

    return ngx_pinaud_caller_look(record);
}


static ngx_int_t
ngx_pinaud_caller_look(ngx_pinaud_record_t *record)
{
    ngx_int_t             rc;
    ngx_pinaud_cached_t  *cached;

    cached = ngx_pinaud_caller_get(record);
    if (cached == NULL) {
        return ngx_pinaud_caller_failed(record, "memory");
    }

    rc = ngx_pinaud_cache_fresh(cached)
         ? ngx_pinaud_caller_told(record, cached)
         : ngx_pinaud_caller_read(record, cached);

    ngx_pinaud_cache_release(cached);

    return rc;
}


/* Asks Redis, or waits for it. */

static ngx_int_t
ngx_pinaud_caller_read(ngx_pinaud_record_t *record,
    ngx_pinaud_cached_t *cached)
{
    ngx_pinaud_worker_t  *worker;

    worker = ngx_pinaud_main_conf(record)->worker;

    record->waiter.handler = ngx_pinaud_caller_woken;

    if (ngx_pinaud_redis_state(worker->redis) != NGX_PINAUD_REDIS_READY) {

        if (ngx_pinaud_redis_wait(worker->redis, &record->waiter) != NGX_OK) {
            return ngx_pinaud_caller_failed(record, "unreachable");
        }

        record->waiting = 1;

        return NGX_AGAIN;
    }

    if (ngx_pinaud_caller_stranger(worker, cached)
        || ngx_pinaud_caller_query(cached, worker->redis) != NGX_OK)
    {
        return ngx_pinaud_caller_failed(record, "overload");
    }

    ngx_queue_insert_tail(&cached->waiting, &record->waiter.queue);
    record->waiting = 1;

    return NGX_AGAIN;
}


/* Whether it is one key too many of those that were never seen before. */

static ngx_uint_t
ngx_pinaud_caller_stranger(ngx_pinaud_worker_t *worker,
    ngx_pinaud_cached_t *cached)
{
    if (cached->asking || cached->asked) {
        return 0;
    }

    if (ngx_current_msec - worker->strangers_since >= 1000) {
        worker->strangers_since = ngx_current_msec;
        worker->strangers = 0;
    }

    if (worker->strangers == NGX_PINAUD_CALLER_STRANGERS) {
        return 1;
    }

    worker->strangers++;

    return 0;
}


static ngx_int_t
ngx_pinaud_caller_query(ngx_pinaud_cached_t *cached,
    ngx_pinaud_redis_t *redis)
{
    char         hex[PINAUD_TEAM_KEY_HEX + 1], key[PINAUD_KEY_MAX];
    size_t       lens[5];
    const char  *args[5];

    pinaud_team_key_hex(cached->key, hex);

    args[0] = "HMGET";
    lens[0] = 5;
    args[1] = key;
    lens[1] = pinaud_key_team_key(key, hex, PINAUD_TEAM_KEY_HEX);
    args[2] = "format";
    lens[2] = 6;
    args[3] = "team";
    lens[3] = 4;
    args[4] = "mac";
    lens[4] = 3;

    return ngx_pinaud_cache_ask(cached, redis, 5, args, lens);
}


static void
ngx_pinaud_caller_woken(ngx_pinaud_waiter_t *waiter, ngx_uint_t ready)
{
    ngx_int_t             rc;
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_waiter_record(waiter);

    record->waiting = 0;

    rc = ready ? ngx_pinaud_caller_look(record)
               : ngx_pinaud_caller_failed(record, "unreachable");

    if (rc == NGX_OK && record->stage == NGX_PINAUD_STAGE_ADMIT) {
        rc = ngx_pinaud_admission_ask(record);
    }

    if (rc == NGX_OK) {
        ngx_pinaud_request_answered(record);
    }
}


static ngx_pinaud_cached_t *
ngx_pinaud_caller_get(ngx_pinaud_record_t *record)
{
    ngx_str_t  key;

    key.data = record->team_key_hash;
    key.len = PINAUD_TEAM_KEY_HASH;

    return ngx_pinaud_cache_get(ngx_pinaud_main_conf(record)->worker->callers,
                                &key);
}


static ngx_int_t
ngx_pinaud_caller_told(ngx_pinaud_record_t *record,
    ngx_pinaud_cached_t *cached)
{
    ngx_pinaud_caller_t  *caller;

    caller = (ngx_pinaud_caller_t *) cached;

    if (cached->unreadable) {
        return ngx_pinaud_caller_failed(record, "team_key");
    }

    if (caller->team_len == 0) {
        return ngx_pinaud_caller_refused(record, NGX_PINAUD_REFUSED_CALLER);
    }

    record->team.data = ngx_pnalloc(record->request->pool, caller->team_len);
    if (record->team.data == NULL) {
        return ngx_pinaud_caller_refused(record, NGX_PINAUD_REFUSED_STORE);
    }

    record->team.len = caller->team_len;
    ngx_memcpy(record->team.data, caller->team, caller->team_len);

    record->identified = 1;
    record->identified_at = cached->asked;

    return NGX_OK;
}


static ngx_int_t
ngx_pinaud_caller_refused(ngx_pinaud_record_t *record,
    ngx_pinaud_verdict_e verdict)
{
    record->team.len = 0;
    record->identified = 1;
    record->identified_at = ngx_current_msec;
    record->verdict = verdict;

    return NGX_OK;
}


ngx_int_t
ngx_pinaud_caller_failed(ngx_pinaud_record_t *record, const char *reason)
{
    ngx_int_t                rc;
    ngx_uint_t               good;
    ngx_pinaud_caller_t     *caller;
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = ngx_pinaud_main_conf(record);

    ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), reason);

    caller = pmcf->outage ? (ngx_pinaud_caller_t *)
                                ngx_pinaud_caller_get(record)
                          : NULL;

    good = caller && caller->team_len
           && ngx_current_msec - caller->cached.asked
              < NGX_PINAUD_CALLER_OUTAGE;

    rc = good ? ngx_pinaud_caller_told(record, &caller->cached)
              : ngx_pinaud_caller_refused(record, NGX_PINAUD_REFUSED_STORE);

    if (caller) {
        ngx_pinaud_cache_release(&caller->cached);
    }

    return rc;
}


ngx_uint_t
ngx_pinaud_caller_lately(ngx_pinaud_record_t *record)
{
    return record->team_key.len == 0
           || ngx_current_msec - record->identified_at
              < NGX_PINAUD_CALLER_OUTAGE;
}


static const char *
ngx_pinaud_caller_reply(ngx_pinaud_cached_t *cached,
    ngx_pinaud_cached_t *old, redisReply *reply)
{
    const char           *reason;
    redisReply           *format, *team, *mac;
    ngx_pinaud_caller_t  *caller;

    caller = (ngx_pinaud_caller_t *) cached;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        return "reply not understood";
    }

    format = reply->element[0];
    team = reply->element[1];
    mac = reply->element[2];

    if (format->type == REDIS_REPLY_NIL) {

        /* no such key */

        return NULL;
    }

    if (!ngx_pinaud_cache_understood(format)) {
        return "unknown format";
    }

    if (team->type != REDIS_REPLY_STRING
        || !pinaud_is_name((u_char *) team->str, team->len))
    {
        return "no team's name";
    }

    reason = ngx_pinaud_caller_mac(cached, team, mac);

    if (reason == NULL) {
        caller->team_len = team->len;
        ngx_memcpy(caller->team, team->str, team->len);
        cached->useful = 1;
    }

    return reason;
}


/* Who can write to Redis can't give a key to another team. */

static const char *
ngx_pinaud_caller_mac(ngx_pinaud_cached_t *cached, redisReply *team,
    redisReply *mac)
{
    char           hex[PINAUD_TEAM_KEY_HEX + 1];
    pinaud_mac_e   rc;

    if (mac->type != REDIS_REPLY_STRING) {
        return "no MAC";
    }

    pinaud_team_key_hex(cached->key, hex);

    rc = pinaud_team_key_mac_check(ngx_pinaud_cache_conf(cached)->ring, hex,
                                   team->str, team->len, mac->str, mac->len);

    switch (rc) {

    case PINAUD_MAC_GOOD:
        return NULL;

    case PINAUD_MAC_UNKNOWN_KEY:
        return "MAC by an unknown key";

    default:
        return "wrong MAC";
    }
}


static void
ngx_pinaud_caller_log(ngx_pinaud_cached_t *cached, const char *reason)
{
    char  hex[PINAUD_TEAM_KEY_HEX + 1];

    pinaud_team_key_hex(cached->key, hex);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "pinaud: team key of SHA-256 \"%s\" can't be used: %s", hex,
                  reason);
}
