
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The master that sentinels tell, wherever it moves.
 */


#include "ngx_pinaud_redis_inside.h"


#define NGX_PINAUD_SENTINEL_INTERVAL  250          /* ms */


static void ngx_pinaud_sentinel_locate(ngx_pinaud_link_t *link);
static const char *ngx_pinaud_sentinel_told(ngx_pinaud_link_t *from,
    redisReply *reply);
static void ngx_pinaud_sentinel_lost(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_sentinel_failed(ngx_pinaud_link_t *link,
    const char *reason);


static const ngx_pinaud_link_hooks_t  ngx_pinaud_sentinel_hooks = {
    .locate = ngx_pinaud_sentinel_locate,
    .failed = ngx_pinaud_sentinel_failed
};

static const char  ngx_pinaud_sentinel_unknown[] = "unknown to its sentinels";


ngx_int_t
ngx_pinaud_sentinel_create(ngx_pinaud_redis_t *redis, ngx_pool_t *pool)
{
    char                  name[NGX_PINAUD_HOST];
    const char           *args[3];
    ngx_pinaud_guide_t   *guide;
    ngx_pinaud_server_t   nowhere;

    (void) ngx_cpystrn((u_char *) name, redis->conf->name.data,
                       redis->conf->name.len + 1);

    args[0] = "SENTINEL";
    args[1] = "get-master-addr-by-name";
    args[2] = name;

    guide = ngx_pinaud_guide_create(redis, pool, 3, args);
    if (guide == NULL) {
        return NGX_ERROR;
    }

    guide->who = "sentinel";
    guide->interval = NGX_PINAUD_SENTINEL_INTERVAL;
    guide->told = ngx_pinaud_sentinel_told;
    guide->lost = ngx_pinaud_sentinel_lost;

    ngx_memzero(&nowhere, sizeof(ngx_pinaud_server_t));

    redis->guide = guide;
    redis->link = ngx_pinaud_link_create(redis, &nowhere, 1,
                                         &redis->conf->greeting,
                                         &ngx_pinaud_sentinel_hooks);
    if (redis->link == NULL) {
        return NGX_ERROR;
    }

    ngx_pinaud_guide_begin(guide);
    ngx_pinaud_link_open(redis->link);

    return NGX_OK;
}


static void
ngx_pinaud_sentinel_locate(ngx_pinaud_link_t *link)
{
    ngx_pinaud_guide_t  *guide;

    guide = link->redis->guide;

    if (guide->is_lost) {
        ngx_pinaud_sentinel_lost(link->redis);
        return;
    }

    ngx_pinaud_guide_ask(guide);
}


static const char *
ngx_pinaud_sentinel_told(ngx_pinaud_link_t *from, redisReply *reply)
{
    ngx_int_t             port;
    redisReply           *host, *number;
    ngx_pinaud_link_t    *link;
    ngx_pinaud_redis_t   *redis;
    ngx_pinaud_server_t   server, *known;

    if (reply->type == REDIS_REPLY_NIL) {
        return ngx_pinaud_sentinel_unknown;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        return "is no sentinel";
    }

    host = reply->element[0];
    number = reply->element[1];

    port = ngx_atoi((u_char *) number->str, number->len);

    if (port < 1 || port > 65535
        || ngx_pinaud_server_set(&server, host->str, host->len, port)
           != NGX_OK)
    {
        return "is no sentinel";
    }

    redis = from->redis;
    link = redis->link;
    known = &link->servers[0];

    if (known->port != server.port
        || ngx_strcmp(known->host, server.host) != 0)
    {
        ngx_log_error(NGX_LOG_NOTICE, redis->log, 0,
                      "pinaud: store \"%V\" is at \"%s\" port %d",
                      &redis->conf->name, server.host, (int) server.port);

        *known = server;

        if (!link->locating) {
            ngx_pinaud_link_move(link);
            return NULL;
        }
    }

    if (link->locating) {
        ngx_pinaud_link_located(link, NULL);
    }

    return NULL;
}


static void
ngx_pinaud_sentinel_lost(ngx_pinaud_redis_t *redis)
{
    const char  *reason;

    if (!redis->link->locating) {
        return;
    }

    reason = "no sentinel answers";

    if (redis->guide->reason == ngx_pinaud_sentinel_unknown) {
        reason = ngx_pinaud_sentinel_unknown;
    }

    ngx_pinaud_link_located(redis->link, reason);
}


/*
 * What this sentinel told is of no use. It may be cut off from the others, who
 * know better: the next one is asked.
 */

static void
ngx_pinaud_sentinel_failed(ngx_pinaud_link_t *link, const char *reason)
{
    if (link->told_down) {
        ngx_pinaud_guide_turn(link->redis->guide);
    }
}
