
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The link to Redis: connecting, waiting for it, failing and coming back.
 */


#include "ngx_pinaud_redis_link.h"


#define NGX_PINAUD_REDIS_BACKOFF_MAX  500          /* ms */


static void ngx_pinaud_redis_connect(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_redis_connected(ngx_event_t *wev);
static void ngx_pinaud_redis_up(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_redis_disconnect(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_redis_reconnect(ngx_event_t *ev);


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

    redis->muted = *log;
    redis->muted.log_level = NGX_LOG_ALERT;
    redis->muted.next = NULL;

    redis->anchor.fd = (ngx_socket_t) -1;
    redis->backoff = NGX_PINAUD_REDIS_BACKOFF_MIN;

    ngx_queue_init(&redis->calls);
    ngx_queue_init(&redis->waiters);

    redis->flush.handler = ngx_pinaud_redis_flush;
    redis->flush.data = redis;
    redis->flush.log = log;

    /* data is what the debug lines take for a connection */

    redis->anchor.data = redis;
    redis->reconnect.handler = ngx_pinaud_redis_reconnect;
    redis->reconnect.data = &redis->anchor;
    redis->reconnect.log = log;
    redis->reconnect.cancelable = 1;

    ngx_pinaud_redis_connect(redis);

    return redis;
}


void
ngx_pinaud_redis_close(ngx_pinaud_redis_t *redis)
{
    redis->closed = 1;

    ngx_pinaud_redis_disconnect(redis);

    if (redis->reconnect.timer_set) {
        ngx_del_timer(&redis->reconnect);
    }
}


ngx_pinaud_redis_state_e
ngx_pinaud_redis_state(ngx_pinaud_redis_t *redis)
{
    return redis->state;
}


ngx_int_t
ngx_pinaud_redis_wait(ngx_pinaud_redis_t *redis, ngx_pinaud_waiter_t *waiter)
{
    if (redis->told_down || redis->closed) {
        return NGX_DECLINED;
    }

    if (redis->state == NGX_PINAUD_REDIS_DOWN) {

        /* it was closed while idle, which tells nothing of Redis */

        if (redis->reconnect.timer_set) {
            ngx_del_timer(&redis->reconnect);
        }

        ngx_pinaud_redis_connect(redis);

        if (redis->state == NGX_PINAUD_REDIS_DOWN) {
            return NGX_DECLINED;
        }
    }

    redis->peer.connection->idle = 0;
    ngx_queue_insert_tail(&redis->waiters, &waiter->queue);

    return NGX_OK;
}


void
ngx_pinaud_redis_want(ngx_pinaud_redis_t *redis)
{
    redis->wanted++;

    if (redis->peer.connection) {
        redis->peer.connection->idle = 0;
    }
}


void
ngx_pinaud_redis_unwant(ngx_pinaud_redis_t *redis)
{
    redis->wanted--;
}


int64_t
ngx_pinaud_redis_now(ngx_pinaud_redis_t *redis)
{
    return (int64_t) ngx_current_msec + redis->offset;
}


/*
 * Redis told its time some time after the question and before the reply: the
 * later the reply, the less is known. Within that what was known stands; else
 * a clock was set, or it drifts.
 */

void
ngx_pinaud_redis_clock(ngx_pinaud_redis_t *redis, int64_t now,
    ngx_msec_t sent)
{
    int64_t  least, most;

    least = now - (int64_t) ngx_current_msec;
    most = now + 1 - (int64_t) sent;

    if (redis->offset < least || redis->offset > most) {
        redis->offset = least;
    }
}


void
ngx_pinaud_redis_good(ngx_pinaud_redis_t *redis)
{
    if (redis->doubted) {
        redis->doubted = 0;
        ngx_pinaud_redis_up(redis);
    }
}


void
ngx_pinaud_redis_drop(ngx_pinaud_redis_t *redis, const char *reason)
{
    redis->doubted = 1;

    if (redis->reading) {
        redis->dropped = reason;
        return;
    }

    ngx_pinaud_redis_down(redis, reason);
    ngx_pinaud_redis_fail(redis, reason);
}


static void
ngx_pinaud_redis_connect(ngx_pinaud_redis_t *redis)
{
    ngx_int_t          rc;
    ngx_addr_t        *addr;
    ngx_connection_t  *c;

    addr = &redis->conf->addrs[redis->naddr % redis->conf->naddrs];

    ngx_memzero(&redis->peer, sizeof(ngx_peer_connection_t));

    redis->peer.sockaddr = addr->sockaddr;
    redis->peer.socklen = addr->socklen;
    redis->peer.name = &addr->name;
    redis->peer.get = ngx_event_get_peer;
    redis->peer.log = &redis->muted;
    redis->peer.log_error = NGX_ERROR_INFO;

    if (ngx_pinaud_redis_reader(redis) != NGX_OK) {
        ngx_pinaud_redis_fail(redis, "no memory");
        return;
    }

    rc = ngx_event_connect_peer(&redis->peer);

    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        ngx_pinaud_redis_fail(redis, "connect failed");
        return;
    }

    /* rc == NGX_OK || rc == NGX_AGAIN */

    c = redis->peer.connection;
    c->data = redis;
    c->read->handler = ngx_pinaud_redis_read;
    c->write->handler = ngx_pinaud_redis_connected;

    redis->state = NGX_PINAUD_REDIS_CONNECTING;
    redis->greetings = redis->conf->nhandshake;

    /* covers the handshake, too; a worker that quits need not wait for it */

    ngx_add_timer(c->read, redis->conf->connect_timeout);
    c->read->cancelable = 1;
    c->idle = (redis->wanted == 0);

    if (rc == NGX_OK) {
        ngx_pinaud_redis_connected(c->write);
    }
}


static void
ngx_pinaud_redis_connected(ngx_event_t *wev)
{
    u_char              *room;
    ngx_connection_t    *c;
    ngx_pinaud_redis_t  *redis;

    c = wev->data;
    redis = c->data;

    if (redis->peer.sockaddr->sa_family != AF_UNIX) {
        (void) ngx_tcp_nodelay(c);
    }

    wev->handler = ngx_pinaud_redis_write;

    room = ngx_pinaud_redis_room(redis, redis->conf->handshake.len);
    if (room == NULL) {
        ngx_pinaud_redis_fail(redis, "no memory");
        return;
    }

    ngx_memcpy(room, redis->conf->handshake.data, redis->conf->handshake.len);

    ngx_pinaud_redis_write(wev);
}


void
ngx_pinaud_redis_ready(ngx_pinaud_redis_t *redis)
{
    redis->state = NGX_PINAUD_REDIS_READY;

    if (!redis->doubted) {
        ngx_pinaud_redis_up(redis);
    }

    ngx_pinaud_waiters_tell(&redis->waiters, 1);
}


/*
 * A connection on which replies are due must not stay silent for long: the
 * requests have given up by then, and a new connection may do better. The
 * timer is set once and looks at the time of the last progress, since setting
 * and deleting it for each command would cost more than the command.
 */

void
ngx_pinaud_redis_watch(ngx_pinaud_redis_t *redis)
{
    ngx_connection_t  *c;

    if (redis->state != NGX_PINAUD_REDIS_READY) {
        return;
    }

    c = redis->peer.connection;

    if (redis->ncalls) {

        if (!c->read->timer_set) {
            ngx_add_timer(c->read, 2 * redis->conf->timeout);
        }

        return;
    }

    if (redis->wanted) {
        return;
    }

    c->idle = 1;

    if (ngx_exiting) {
        ngx_pinaud_redis_fail(redis, "closed");
    }
}


void
ngx_pinaud_redis_silence(ngx_pinaud_redis_t *redis)
{
    ngx_msec_t  silent, limit;

    if (redis->state == NGX_PINAUD_REDIS_CONNECTING) {
        ngx_pinaud_redis_fail(redis, "connect timed out");
        return;
    }

    if (redis->ncalls == 0) {
        return;
    }

    silent = ngx_current_msec - redis->heard;
    limit = 2 * redis->conf->timeout;

    if (silent >= limit) {
        ngx_pinaud_redis_fail(redis, "timed out");
        return;
    }

    ngx_add_timer(redis->peer.connection->read, limit - silent);
}


/* Tells that the store is up, once. */

static void
ngx_pinaud_redis_up(ngx_pinaud_redis_t *redis)
{
    if (redis->told_up) {
        return;
    }

    if (redis->told_down) {
        ngx_log_error(NGX_LOG_NOTICE, redis->log, 0,
                      "pinaud: store \"%V\" is back", &redis->conf->name);
    }

    redis->told_up = 1;
    redis->told_down = 0;
    redis->conf->changed(redis->conf->data, 1, "");
}


/* Tells that the store is down, once. */

void
ngx_pinaud_redis_down(ngx_pinaud_redis_t *redis, const char *reason)
{
    if (redis->told_down) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, redis->log, 0,
                  "pinaud: store \"%V\" is unavailable: %s",
                  &redis->conf->name, reason);

    redis->told_down = 1;
    redis->told_up = 0;
    redis->conf->changed(redis->conf->data, 0, reason);
}


/*
 * Ends the connection. One that ends while nothing is asked of it, as when
 * Redis drops idle clients, is opened again without a word.
 */

void
ngx_pinaud_redis_fail(ngx_pinaud_redis_t *redis, const char *reason)
{
    ngx_uint_t  quiet;

    quiet = (redis->state == NGX_PINAUD_REDIS_READY && redis->ncalls == 0);

    if (!quiet) {
        ngx_pinaud_redis_down(redis, reason);
    }

    redis->naddr++;
    ngx_pinaud_redis_disconnect(redis);

    if (redis->reconnect.timer_set || redis->closed
        || (quiet && ngx_exiting))
    {
        return;
    }

    /* half of the delay is random, so that gateways do not come together */

    ngx_add_timer(&redis->reconnect, redis->backoff / 2
                                     + ngx_random() % redis->backoff / 2 + 1);

    redis->backoff = ngx_min(redis->backoff * 2, NGX_PINAUD_REDIS_BACKOFF_MAX);
}


/*
 * Forgets the connection, then tells everybody who waits on it. Handlers run
 * while the state is down, so none of them can issue a command here.
 */

static void
ngx_pinaud_redis_disconnect(ngx_pinaud_redis_t *redis)
{
    ngx_queue_t         calls, *q;
    ngx_pinaud_call_t  *call;

    redis->state = NGX_PINAUD_REDIS_DOWN;
    redis->greetings = 0;
    redis->ncalls = 0;

    if (redis->peer.connection) {
        ngx_close_connection(redis->peer.connection);
        redis->peer.connection = NULL;
    }

    if (redis->reader) {
        redisReaderFree(redis->reader);
        redis->reader = NULL;
    }

    if (redis->flush.posted) {
        ngx_delete_posted_event(&redis->flush);
    }

    if (redis->out) {
        ngx_free(redis->out);
        redis->out = NULL;
        redis->out_pos = NULL;
        redis->out_last = NULL;
        redis->out_end = NULL;
    }

    ngx_queue_init(&calls);
    if (!ngx_queue_empty(&redis->calls)) {
        ngx_queue_add(&calls, &redis->calls);
        ngx_queue_init(&redis->calls);
    }

    /* first, since what a call's handler makes wait is not for this one */

    ngx_pinaud_waiters_tell(&redis->waiters, 0);

    while (!ngx_queue_empty(&calls)) {
        q = ngx_queue_head(&calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_pinaud_call_t, queue);
        call->handler(call, NULL);
    }
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


static void
ngx_pinaud_redis_reconnect(ngx_event_t *ev)
{
    ngx_connection_t    *anchor;
    ngx_pinaud_redis_t  *redis;

    anchor = ev->data;
    redis = anchor->data;

    ngx_pinaud_redis_connect(redis);
}
