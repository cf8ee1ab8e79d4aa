
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the gateway sees of Redis, wherever it is.
 */


#include "ngx_pinaud_redis_inside.h"


static const ngx_pinaud_link_hooks_t  ngx_pinaud_redis_hooks;


ngx_pinaud_redis_t *
ngx_pinaud_redis_create(ngx_pinaud_redis_conf_t *conf, ngx_pool_t *pool,
    ngx_log_t *log)
{
    ngx_pinaud_redis_t  *redis;

    redis = ngx_pcalloc(pool, sizeof(ngx_pinaud_redis_t));
    if (redis == NULL) {
        return NULL;
    }

    redis->conf = conf;
    redis->log = log;

    /* reading the configuration may have taken a while; timers begin now */

    ngx_time_update();

    if (conf->mode == PINAUD_REACH_SENTINEL) {
        return (ngx_pinaud_sentinel_create(redis, pool) == NGX_OK) ? redis
                                                                   : NULL;
    }

    if (conf->mode == PINAUD_REACH_CLUSTER) {
        return (ngx_pinaud_cluster_create(redis, pool) == NGX_OK) ? redis
                                                                  : NULL;
    }

    redis->link = ngx_pinaud_link_create(redis, conf->servers, 1,
                                         &conf->greeting,
                                         &ngx_pinaud_redis_hooks);
    if (redis->link == NULL) {
        return NULL;
    }

    ngx_pinaud_link_open(redis->link);

    return redis;
}


void
ngx_pinaud_redis_close(ngx_pinaud_redis_t *redis)
{
    if (redis->cluster) {
        ngx_pinaud_cluster_close(redis->cluster);

    } else {
        ngx_pinaud_link_close(redis->link);
    }

    if (redis->guide) {
        ngx_pinaud_guide_close(redis->guide);
    }
}


ngx_pinaud_redis_state_e
ngx_pinaud_redis_state(ngx_pinaud_redis_t *redis)
{
    return redis->link ? redis->link->state
                       : ngx_pinaud_cluster_state(redis->cluster);
}


ngx_int_t
ngx_pinaud_redis_wait(ngx_pinaud_redis_t *redis, ngx_pinaud_waiter_t *waiter)
{
    return redis->link ? ngx_pinaud_link_wait(redis->link, waiter)
                       : ngx_pinaud_cluster_wait(redis->cluster, waiter);
}


ngx_uint_t
ngx_pinaud_redis_slot(ngx_pinaud_redis_t *redis, const char *key, size_t len)
{
    return redis->link ? 0 : pinaud_slot(key, len);
}


u_char *
ngx_pinaud_redis_command(ngx_pinaud_redis_t *redis, ngx_uint_t slot,
    ngx_pinaud_call_t *call, size_t size)
{
    if (redis->link) {
        return ngx_pinaud_link_command(redis->link, call, size);
    }

    return ngx_pinaud_route_command(redis->cluster, slot, call, size);
}


ngx_int_t
ngx_pinaud_redis_send(ngx_pinaud_redis_t *redis, ngx_pinaud_call_t *call,
    ngx_uint_t argc, const char **args, const size_t *lens)
{
    int          n;
    char        *command;
    u_char      *room;
    ngx_uint_t   slot;

    n = redisFormatCommandArgv(&command, argc, args, lens);
    if (n < 0) {
        return NGX_ERROR;
    }

    slot = ngx_pinaud_redis_slot(redis, args[1], lens[1]);
    room = ngx_pinaud_redis_command(redis, slot, call, n);

    if (room) {
        ngx_memcpy(room, command, n);
    }

    redisFreeCommand(command);

    return room ? NGX_OK : NGX_ERROR;
}


void
ngx_pinaud_redis_want(ngx_pinaud_redis_t *redis)
{
    redis->wanted++;

    if (redis->link && redis->link->peer.connection) {
        redis->link->peer.connection->idle = 0;
    }
}


void
ngx_pinaud_redis_unwant(ngx_pinaud_redis_t *redis)
{
    redis->wanted--;
}


int64_t
ngx_pinaud_redis_now(ngx_pinaud_redis_t *redis, ngx_uint_t slot)
{
    ngx_pinaud_link_t  *link;
    ngx_pinaud_node_t  *node;

    link = redis->link;

    if (link == NULL) {
        node = redis->cluster->slots[slot];
        link = node ? node->link : redis->guide->link;
    }

    return (int64_t) ngx_current_msec + link->offset;
}


/*
 * Redis told its time some time after the question and before the reply: the
 * later the reply, the less is known. Within that what was known stands; else
 * a clock was set, or it drifts.
 */

void
ngx_pinaud_redis_clock(ngx_pinaud_call_t *call, int64_t now, ngx_msec_t sent)
{
    int64_t  least, most;

    least = now - (int64_t) ngx_current_msec;
    most = now + 1 - (int64_t) sent;

    if (call->link->offset < least || call->link->offset > most) {
        call->link->offset = least;
    }
}


void
ngx_pinaud_redis_drop(ngx_pinaud_call_t *call, const char *reason)
{
    ngx_pinaud_link_drop(call->link, reason);
}


void
ngx_pinaud_redis_good(ngx_pinaud_call_t *call)
{
    if (call->link->doubted) {
        call->link->doubted = 0;
        ngx_pinaud_link_up(call->link);
    }
}


void
ngx_pinaud_redis_changed(ngx_pinaud_redis_t *redis)
{
    ngx_uint_t  up;

    up = (redis->ndown == 0
          && (redis->cluster == NULL || redis->cluster->known));

    redis->conf->changed(redis->conf->data, up);
}


void
ngx_pinaud_waiters_tell(ngx_queue_t *waiters, ngx_uint_t ready)
{
    ngx_queue_t           told, *q;
    ngx_pinaud_waiter_t  *waiter;

    ngx_queue_init(&told);

    if (!ngx_queue_empty(waiters)) {
        ngx_queue_add(&told, waiters);
        ngx_queue_init(waiters);
    }

    while (!ngx_queue_empty(&told)) {
        q = ngx_queue_head(&told);
        ngx_queue_remove(q);

        waiter = ngx_queue_data(q, ngx_pinaud_waiter_t, queue);
        waiter->handler(waiter, ready);
    }
}
