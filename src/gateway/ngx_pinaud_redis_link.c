
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A link to Redis: connecting, waiting for it, failing and coming back.
 */


#include "ngx_pinaud_redis_inside.h"


#define NGX_PINAUD_REDIS_BACKOFF_MAX  500          /* ms */


static void ngx_pinaud_link_begin(ngx_pinaud_link_t *link);
static void ngx_pinaud_link_connected(ngx_event_t *wev);
static void ngx_pinaud_link_next(ngx_pinaud_link_t *link);
static void ngx_pinaud_link_disconnect(ngx_pinaud_link_t *link);
static void ngx_pinaud_link_release(ngx_pinaud_link_t *link);
static void ngx_pinaud_link_reconnect(ngx_event_t *ev);


ngx_pinaud_link_t *
ngx_pinaud_link_create(ngx_pinaud_redis_t *redis,
    ngx_pinaud_server_t *servers, ngx_uint_t nservers,
    ngx_pinaud_greeting_t *greeting, const ngx_pinaud_link_hooks_t *hooks)
{
    ngx_pinaud_link_t  *link;

    link = ngx_calloc(sizeof(ngx_pinaud_link_t)
                      + nservers * sizeof(ngx_pinaud_server_t), redis->log);
    if (link == NULL) {
        return NULL;
    }

    link->servers = (ngx_pinaud_server_t *) &link[1];
    link->nservers = nservers;
    ngx_memcpy(link->servers, servers, nservers * sizeof(ngx_pinaud_server_t));

    link->redis = redis;
    link->conf = redis->conf;
    link->hooks = *hooks;
    link->greeting = greeting;
    link->name = redis->conf->name;
    link->log = redis->log;

    link->elements = NGX_PINAUD_REDIS_ELEMENTS;
    link->largest = NGX_PINAUD_REDIS_REPLY;

    link->muted = *redis->log;
    link->muted.log_level = NGX_LOG_ALERT;
    link->muted.next = NULL;

    link->anchor.fd = (ngx_socket_t) -1;
    link->backoff = NGX_PINAUD_REDIS_BACKOFF_MIN;

    ngx_queue_init(&link->calls);
    ngx_queue_init(&link->waiters);

    link->flush.handler = ngx_pinaud_link_flush;
    link->flush.data = link;
    link->flush.log = redis->log;

    /* data is what the debug lines take for a connection */

    link->anchor.data = link;
    link->reconnect.handler = ngx_pinaud_link_reconnect;
    link->reconnect.data = &link->anchor;
    link->reconnect.log = redis->log;
    link->reconnect.cancelable = 1;

    return link;
}


void
ngx_pinaud_link_close(ngx_pinaud_link_t *link)
{
    link->closed = 1;

    ngx_pinaud_link_disconnect(link);

    if (link->told_down && !link->mute) {
        link->redis->ndown--;
    }

    ngx_free(link);
}


void
ngx_pinaud_link_open(ngx_pinaud_link_t *link)
{
    if (link->state == NGX_PINAUD_REDIS_DOWN && !link->reconnect.timer_set
        && !link->closed)
    {
        ngx_pinaud_link_begin(link);
    }
}


void
ngx_pinaud_link_move(ngx_pinaud_link_t *link)
{
    if (link->state != NGX_PINAUD_REDIS_DOWN) {
        ngx_pinaud_link_fail(link, "it has moved");
    }

    if (link->reconnect.timer_set) {
        ngx_del_timer(&link->reconnect);
    }

    link->backoff = NGX_PINAUD_REDIS_BACKOFF_MIN;

    ngx_pinaud_link_open(link);
}


ngx_int_t
ngx_pinaud_link_wait(ngx_pinaud_link_t *link, ngx_pinaud_waiter_t *waiter)
{
    if (link->told_down || link->closed) {
        return NGX_DECLINED;
    }

    if (link->state == NGX_PINAUD_REDIS_DOWN) {

        /* it was closed while idle, which tells nothing of Redis */

        if (link->reconnect.timer_set) {
            ngx_del_timer(&link->reconnect);
        }

        ngx_pinaud_link_begin(link);

        if (link->state == NGX_PINAUD_REDIS_DOWN) {
            return NGX_DECLINED;
        }
    }

    if (link->peer.connection) {
        link->peer.connection->idle = 0;
    }

    ngx_queue_insert_tail(&link->waiters, &waiter->queue);

    return NGX_OK;
}


void
ngx_pinaud_link_drop(ngx_pinaud_link_t *link, const char *reason)
{
    link->doubted = 1;

    if (link->reading) {
        link->dropped = reason;
        return;
    }

    ngx_pinaud_link_down(link, reason);
    ngx_pinaud_link_fail(link, reason);
}


/* An attempt: first it is found out where the server is. */

static void
ngx_pinaud_link_begin(ngx_pinaud_link_t *link)
{
    link->state = NGX_PINAUD_REDIS_CONNECTING;
    link->began = ngx_current_msec;

    if (link->hooks.locate) {
        link->locating = 1;
        ngx_add_timer(&link->reconnect, link->conf->connect_timeout);
        link->hooks.locate(link);
        return;
    }

    ngx_pinaud_link_located(link, NULL);
}


void
ngx_pinaud_link_located(ngx_pinaud_link_t *link, const char *reason)
{
    ngx_uint_t  resolve;

    if (link->locating) {
        link->locating = 0;
        ngx_del_timer(&link->reconnect);
    }

    if (reason) {
        ngx_pinaud_link_fail(link, reason);
        return;
    }

    resolve = link->again || link->servers[link->nserver].naddrs == 0;
    link->again = 0;

    if (resolve && ngx_pinaud_link_resolve(link) == NGX_AGAIN) {
        return;
    }

    ngx_pinaud_link_connect(link);
}


void
ngx_pinaud_link_connect(ngx_pinaud_link_t *link)
{
    ngx_int_t             rc;
    ngx_connection_t     *c;
    ngx_pinaud_server_t  *server;

    server = &link->servers[link->nserver];

    if (server->naddrs == 0) {
        ngx_pinaud_link_fail(link, "name is not resolved");
        return;
    }

    link->naddr %= server->naddrs;

    ngx_memzero(&link->peer, sizeof(ngx_peer_connection_t));

    link->peer.sockaddr = &server->addrs[link->naddr].sockaddr;
    link->peer.socklen = server->socklens[link->naddr];
    link->peer.name = &link->name;
    link->peer.get = ngx_event_get_peer;
    link->peer.log = &link->muted;
    link->peer.log_error = NGX_ERROR_INFO;

    if (ngx_pinaud_link_reader(link) != NGX_OK) {
        ngx_pinaud_link_fail(link, "no memory");
        return;
    }

    rc = ngx_event_connect_peer(&link->peer);

    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        ngx_pinaud_link_fail(link, "connect failed");
        return;
    }

    /* rc == NGX_OK || rc == NGX_AGAIN */

    c = link->peer.connection;
    c->data = link;
    c->read->handler = ngx_pinaud_link_read;
    c->write->handler = ngx_pinaud_link_connected;

    /* covers the handshake, too; a worker that quits need not wait for it */

    ngx_add_timer(c->read, link->conf->connect_timeout);
    c->read->cancelable = 1;
    c->idle = (link->redis->wanted == 0 && ngx_queue_empty(&link->waiters));

    if (rc == NGX_OK) {
        ngx_pinaud_link_connected(c->write);
    }
}


static void
ngx_pinaud_link_connected(ngx_event_t *wev)
{
    ngx_connection_t   *c;
    ngx_pinaud_link_t  *link;

    c = wev->data;
    link = c->data;

    if (link->peer.sockaddr->sa_family != AF_UNIX) {
        (void) ngx_tcp_nodelay(c);
    }

    if (link->conf->ssl) {
        ngx_pinaud_link_secure(link);
        return;
    }

    ngx_pinaud_link_greet(link);
}


void
ngx_pinaud_link_ready(ngx_pinaud_link_t *link)
{
    link->state = NGX_PINAUD_REDIS_READY;

    if (!link->doubted) {
        ngx_pinaud_link_up(link);
    }

    if (link->hooks.ready) {
        link->hooks.ready(link);
    }

    ngx_pinaud_waiters_tell(&link->waiters, 1);
}


/*
 * A connection on which replies are due must not stay silent for long: the
 * requests have given up by then, and a new connection may do better. The
 * timer is set once and looks at the time of the last progress, since setting
 * and deleting it for each command would cost more than the command.
 */

void
ngx_pinaud_link_watch(ngx_pinaud_link_t *link)
{
    ngx_connection_t  *c;

    if (link->state != NGX_PINAUD_REDIS_READY) {
        return;
    }

    c = link->peer.connection;

    if (link->ncalls) {

        if (!c->read->timer_set) {
            ngx_add_timer(c->read, 2 * link->conf->timeout);
        }

        return;
    }

    if (link->redis->wanted && !link->mute) {
        return;
    }

    c->idle = 1;

    if (ngx_exiting) {
        ngx_pinaud_link_fail(link, "closed");
    }
}


void
ngx_pinaud_link_silence(ngx_pinaud_link_t *link)
{
    ngx_msec_t  silent, limit;

    if (link->state == NGX_PINAUD_REDIS_CONNECTING) {
        ngx_pinaud_link_fail(link, "connect timed out");
        return;
    }

    if (link->ncalls == 0) {
        return;
    }

    silent = ngx_current_msec - link->heard;
    limit = 2 * link->conf->timeout;

    if (silent >= limit) {
        ngx_pinaud_link_fail(link, "timed out");
        return;
    }

    ngx_add_timer(link->peer.connection->read, limit - silent);
}


void
ngx_pinaud_link_up(ngx_pinaud_link_t *link)
{
    if (link->told_up) {
        return;
    }

    if (link->told_down && !link->mute) {
        ngx_log_error(NGX_LOG_NOTICE, link->log, 0,
                      "pinaud: store \"%V\" is back", &link->name);
        link->redis->ndown--;
    }

    link->told_up = 1;
    link->told_down = 0;

    if (!link->mute) {
        ngx_pinaud_redis_changed(link->redis);
    }
}


void
ngx_pinaud_link_down(ngx_pinaud_link_t *link, const char *reason)
{
    if (link->told_down) {
        return;
    }

    link->told_down = 1;
    link->told_up = 0;

    if (!link->mute) {
        ngx_log_error(NGX_LOG_ERR, link->log, 0,
                      "pinaud: store \"%V\" is unavailable: %s",
                      &link->name, reason);

        link->redis->ndown++;
        ngx_pinaud_redis_changed(link->redis);
    }
}


/*
 * Ends the connection. One that ends while nothing is asked of it, as when
 * Redis drops idle clients, is opened again without a word.
 */

void
ngx_pinaud_link_fail(ngx_pinaud_link_t *link, const char *reason)
{
    ngx_uint_t  quiet;
    ngx_msec_t  delay, waited;

    quiet = (link->state == NGX_PINAUD_REDIS_READY && link->ncalls == 0);
    waited = (link->state == NGX_PINAUD_REDIS_CONNECTING)
             ? ngx_current_msec - link->began : 0;

    if (!quiet) {
        ngx_pinaud_link_down(link, reason);
    }

    link->again = 1;
    ngx_pinaud_link_next(link);
    ngx_pinaud_link_disconnect(link);

    if (link->state == NGX_PINAUD_REDIS_DOWN && !link->closed
        && !(quiet && ngx_exiting))
    {
        /* half of it is random, so that gateways do not come together */

        delay = link->backoff / 2 + ngx_random() % link->backoff / 2;

        /* an attempt that took long was waited for already */

        ngx_add_timer(&link->reconnect,
                      (delay > waited) ? delay - waited + 1 : 1);

        link->backoff = ngx_min(link->backoff * 2,
                                NGX_PINAUD_REDIS_BACKOFF_MAX);
    }

    if (link->hooks.failed && !link->closed) {
        link->hooks.failed(link, reason);
    }
}


/* The next address of the server, and behind its last one the next server. */

static void
ngx_pinaud_link_next(ngx_pinaud_link_t *link)
{
    if (++link->naddr >= link->servers[link->nserver].naddrs) {
        link->naddr = 0;
        link->nserver = (link->nserver + 1) % link->nservers;
    }
}


/*
 * Forgets the connection, then tells everybody who waits on it. Handlers run
 * while the state is down, so none of them can issue a command here.
 */

static void
ngx_pinaud_link_disconnect(ngx_pinaud_link_t *link)
{
    ngx_queue_t         calls, *q;
    ngx_pinaud_call_t  *call;

    link->state = NGX_PINAUD_REDIS_DOWN;
    link->locating = 0;
    link->greetings = 0;
    link->ncalls = 0;

    ngx_pinaud_link_release(link);

    ngx_queue_init(&calls);

    if (!ngx_queue_empty(&link->calls)) {
        ngx_queue_add(&calls, &link->calls);
        ngx_queue_init(&link->calls);
    }

    /* first, since what a call's handler makes wait is not for this one */

    ngx_pinaud_waiters_tell(&link->waiters, 0);

    while (!ngx_queue_empty(&calls)) {
        q = ngx_queue_head(&calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_pinaud_call_t, queue);
        call->handler(call, NULL);
    }
}


/* What an attempt to connect, or a connection, has. */

static void
ngx_pinaud_link_release(ngx_pinaud_link_t *link)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    if (link->reconnect.timer_set) {
        ngx_del_timer(&link->reconnect);
    }

    if (link->resolving) {
        ngx_resolve_name_done(link->resolving);
        link->resolving = NULL;
    }

    c = link->peer.connection;

    if (c) {
        link->peer.connection = NULL;
        pool = c->pool;

        ngx_pinaud_link_unsecure(c);
        ngx_close_connection(c);

        if (pool) {
            ngx_destroy_pool(pool);
        }
    }

    if (link->reader) {
        redisReaderFree(link->reader);
        link->reader = NULL;
    }

    if (link->flush.posted) {
        ngx_delete_posted_event(&link->flush);
    }

    if (link->out) {
        ngx_free(link->out);
        link->out = NULL;
        link->out_pos = NULL;
        link->out_last = NULL;
        link->out_end = NULL;
    }
}


static void
ngx_pinaud_link_reconnect(ngx_event_t *ev)
{
    ngx_connection_t   *anchor;
    ngx_pinaud_link_t  *link;

    anchor = ev->data;
    link = anchor->data;

    if (link->locating) {
        ngx_pinaud_link_fail(link, "connect timed out");
        return;
    }

    ngx_pinaud_link_begin(link);
}
