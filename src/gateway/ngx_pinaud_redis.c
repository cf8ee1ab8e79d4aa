
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include "ngx_pinaud_redis.h"


#define NGX_PINAUD_REDIS_OUTSTANDING  65536        /* calls */
#define NGX_PINAUD_REDIS_OUTPUT       (16 << 20)   /* bytes not yet written */
#define NGX_PINAUD_REDIS_REPLY        (1 << 16)    /* bytes of one reply */
#define NGX_PINAUD_REDIS_ELEMENTS     16           /* of an array in it */
#define NGX_PINAUD_REDIS_SECONDS      10           /* digits of Redis's time */
#define NGX_PINAUD_REDIS_BACKOFF_MIN  50           /* ms */
#define NGX_PINAUD_REDIS_BACKOFF_MAX  500          /* ms */


#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_pinaud_elements_t;
#else
typedef int     ngx_pinaud_elements_t;
#endif


struct ngx_pinaud_redis_s {
    ngx_pinaud_redis_conf_t   *conf;
    ngx_log_t                 *log;
    ngx_pinaud_redis_state_e   state;

    ngx_peer_connection_t      peer;
    ngx_uint_t                 naddr;        /* the address in use */
    redisReader               *reader;
    redisReplyObjectFunctions  functions;    /* the reader's, but for arrays */
    void                    *(*create_array)(const redisReadTask *task,
                                   ngx_pinaud_elements_t elements);
    size_t                     partial;      /* bytes of a reply not whole yet */

    ngx_queue_t                calls;        /* in the order of their replies */
    ngx_uint_t                 ncalls;
    ngx_uint_t                 wanted;       /* by who will ask this turn */
    ngx_queue_t                waiters;
    ngx_uint_t                 greetings;    /* handshake replies to come */

    u_char                    *out;          /* what is to be written */
    u_char                    *out_pos;
    u_char                    *out_last;
    u_char                    *out_end;

    ngx_event_t                flush;
    ngx_event_t                reconnect;
    ngx_connection_t           anchor;       /* debug lines of events read its
                                                descriptor */
    ngx_msec_t                 backoff;
    int64_t                    offset;       /* Redis's clock less ours, ms */

    ngx_msec_t                 heard;        /* when Redis last made progress */
    ngx_log_t                  muted;        /* nginx logs each failed connect */

    const char                *dropped;      /* why the reply loop is to end */
    unsigned                   reading:1;    /* inside of the reply loop */
    unsigned                   told_down:1;  /* the log knows that it is down */
    unsigned                   told_up:1;
    unsigned                   doubted:1;    /* it answers, but of no use */
    unsigned                   closed:1;     /* for good */
};


static void ngx_pinaud_redis_connect(ngx_pinaud_redis_t *redis);
static ngx_int_t ngx_pinaud_redis_reader(ngx_pinaud_redis_t *redis);
static void *ngx_pinaud_redis_array(const redisReadTask *task,
    ngx_pinaud_elements_t elements);
static void ngx_pinaud_redis_connected(ngx_event_t *wev);
static void ngx_pinaud_redis_read(ngx_event_t *rev);
static void ngx_pinaud_redis_replies(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_redis_reply(ngx_pinaud_redis_t *redis,
    redisReply *reply);
static void ngx_pinaud_redis_greet(ngx_pinaud_redis_t *redis,
    redisReply *reply);
static void ngx_pinaud_redis_ready(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_redis_write(ngx_event_t *wev);
static void ngx_pinaud_redis_flush(ngx_event_t *ev);
static void ngx_pinaud_redis_watch(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_redis_silence(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_redis_up(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_redis_down(ngx_pinaud_redis_t *redis,
    const char *reason);
static void ngx_pinaud_redis_fail(ngx_pinaud_redis_t *redis,
    const char *reason);
static void ngx_pinaud_redis_disconnect(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_redis_reconnect(ngx_event_t *ev);
static u_char *ngx_pinaud_redis_room(ngx_pinaud_redis_t *redis, size_t size);


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


void
ngx_pinaud_redis_clock(ngx_pinaud_redis_t *redis, int64_t now)
{
    redis->offset = now - (int64_t) ngx_current_msec;
}


u_char *
ngx_pinaud_redis_command(ngx_pinaud_redis_t *redis, ngx_pinaud_call_t *call,
    size_t size)
{
    u_char  *room;

    if (redis->ncalls >= NGX_PINAUD_REDIS_OUTSTANDING) {
        return NULL;
    }

    room = ngx_pinaud_redis_room(redis, size);
    if (room == NULL) {
        return NULL;
    }

    if (redis->ncalls++ == 0) {
        redis->heard = ngx_current_msec;
        redis->peer.connection->idle = 0;
    }

    ngx_queue_insert_tail(&redis->calls, &call->queue);

    if (!redis->flush.posted) {
        ngx_post_event(&redis->flush, &ngx_posted_events);
    }

    return room;
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
    c->idle = 1;

    if (rc == NGX_OK) {
        ngx_pinaud_redis_connected(c->write);
    }
}


/*
 * hiredis makes room for as many elements as an array's first line tells,
 * which takes gigabytes and seconds where that line is nonsense.
 */

static ngx_int_t
ngx_pinaud_redis_reader(ngx_pinaud_redis_t *redis)
{
    redis->partial = 0;

    redis->reader = redisReaderCreate();
    if (redis->reader == NULL) {
        return NGX_ERROR;
    }

    redis->functions = *redis->reader->fn;
    redis->create_array = redis->functions.createArray;
    redis->functions.createArray = ngx_pinaud_redis_array;

    redis->reader->fn = &redis->functions;
    redis->reader->privdata = redis;

    return NGX_OK;
}


static void *
ngx_pinaud_redis_array(const redisReadTask *task,
    ngx_pinaud_elements_t elements)
{
    ngx_pinaud_redis_t  *redis;

    redis = task->privdata;

    if (elements > NGX_PINAUD_REDIS_ELEMENTS) {
        return NULL;
    }

    return redis->create_array(task, elements);
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


static void
ngx_pinaud_redis_read(ngx_event_t *rev)
{
    ssize_t              n;
    u_char               buf[16384];
    ngx_connection_t    *c;
    ngx_pinaud_redis_t  *redis;

    c = rev->data;
    redis = c->data;

    if (c->close) {

        /* a graceful quit closes idle connections, its deadline all */

        ngx_pinaud_redis_fail(redis, "closed");
        return;
    }

    if (rev->timedout) {
        rev->timedout = 0;
        ngx_pinaud_redis_silence(redis);
        return;
    }

    do {
        n = c->recv(c, buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR) {
            ngx_pinaud_redis_fail(redis, redis->state
                                  == NGX_PINAUD_REDIS_CONNECTING
                                  ? "connect failed" : "read failed");
            return;
        }

        if (n == 0) {
            ngx_pinaud_redis_fail(redis, "closed by Redis");
            return;
        }

        redis->heard = ngx_current_msec;
        redis->partial += n;

        if (redisReaderFeed(redis->reader, (char *) buf, n) != REDIS_OK) {
            ngx_pinaud_redis_fail(redis, "no memory");
            return;
        }

        ngx_pinaud_redis_replies(redis);

        if (redis->peer.connection != c) {
            return;
        }

    } while (rev->ready);

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_pinaud_redis_fail(redis, "event failed");
        return;
    }

    ngx_pinaud_redis_watch(redis);
}


/*
 * Hands out the replies that are there. Handlers may issue commands, and may
 * ask to drop the connection, which is done when no handler runs.
 */

static void
ngx_pinaud_redis_replies(ngx_pinaud_redis_t *redis)
{
    void        *reply;
    const char  *reason;

    reason = NULL;
    redis->reading = 1;
    redis->dropped = NULL;

    while (redis->dropped == NULL) {

        if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
            reason = "malformed reply";
            break;
        }

        if (reply == NULL) {

            if (redis->partial > NGX_PINAUD_REDIS_REPLY) {
                reason = "too large reply";
            }

            break;
        }

        redis->partial = 0;

        ngx_pinaud_redis_reply(redis, reply);
        freeReplyObject(reply);
    }

    redis->reading = 0;

    if (redis->dropped) {
        reason = redis->dropped;
        redis->dropped = NULL;
    }

    if (reason) {
        ngx_pinaud_redis_down(redis, reason);
        ngx_pinaud_redis_fail(redis, reason);
    }
}


static void
ngx_pinaud_redis_reply(ngx_pinaud_redis_t *redis, redisReply *reply)
{
    ngx_queue_t        *q;
    ngx_pinaud_call_t  *call;

    if (redis->greetings) {
        ngx_pinaud_redis_greet(redis, reply);
        return;
    }

    if (ngx_queue_empty(&redis->calls)) {
        redis->dropped = "reply that nobody asked for";
        return;
    }

    q = ngx_queue_head(&redis->calls);
    ngx_queue_remove(q);
    redis->ncalls--;

    if (reply->type != REDIS_REPLY_ERROR) {

        /* only this tells that the store works, not that it can be greeted */

        redis->backoff = NGX_PINAUD_REDIS_BACKOFF_MIN;
    }

    call = ngx_queue_data(q, ngx_pinaud_call_t, queue);
    call->handler(call, reply);
}


/* The handshake's replies: all must be good, the last tells the clock. */

static void
ngx_pinaud_redis_greet(ngx_pinaud_redis_t *redis, redisReply *reply)
{
    int64_t      now;
    redisReply  *sec, *usec;

    if (reply->type == REDIS_REPLY_ERROR) {

        /* only a known word of the error: the rest may hold anything */

        if (ngx_strncmp(reply->str, "LOADING", 7) == 0) {
            redis->dropped = "LOADING";

        } else if (ngx_strncmp(reply->str, "WRONGPASS", 9) == 0) {
            redis->dropped = "WRONGPASS";

        } else if (ngx_strncmp(reply->str, "NOAUTH", 6) == 0) {
            redis->dropped = "NOAUTH";

        } else if (ngx_strncmp(reply->str, "NOPERM", 6) == 0) {
            redis->dropped = "NOPERM";

        } else {
            redis->dropped = "handshake refused";
        }

        return;
    }

    if (--redis->greetings) {
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING
        || reply->element[0]->len > NGX_PINAUD_REDIS_SECONDS)
    {
        redis->dropped = "handshake not understood";
        return;
    }

    sec = reply->element[0];
    usec = reply->element[1];

    now = (int64_t) ngx_atotm((u_char *) sec->str, sec->len) * 1000
          + ngx_atoi((u_char *) usec->str, usec->len) / 1000;

    if (!ngx_pinaud_redis_clock_valid(now)) {
        redis->dropped = "handshake not understood";
        return;
    }

    ngx_pinaud_redis_clock(redis, now);
    ngx_pinaud_redis_ready(redis);
}


static void
ngx_pinaud_redis_ready(ngx_pinaud_redis_t *redis)
{
    ngx_queue_t           waiters, *q;
    ngx_pinaud_waiter_t  *waiter;

    redis->state = NGX_PINAUD_REDIS_READY;

    if (!redis->doubted) {
        ngx_pinaud_redis_up(redis);
    }

    ngx_queue_init(&waiters);
    if (!ngx_queue_empty(&redis->waiters)) {
        ngx_queue_add(&waiters, &redis->waiters);
        ngx_queue_init(&redis->waiters);
    }

    while (!ngx_queue_empty(&waiters)) {
        q = ngx_queue_head(&waiters);
        ngx_queue_remove(q);

        waiter = ngx_queue_data(q, ngx_pinaud_waiter_t, queue);
        waiter->handler(waiter, 1);
    }
}


static void
ngx_pinaud_redis_flush(ngx_event_t *ev)
{
    ngx_pinaud_redis_t  *redis;

    redis = ev->data;

    if (redis->state == NGX_PINAUD_REDIS_READY
        && redis->peer.connection->write->ready)
    {
        ngx_pinaud_redis_write(redis->peer.connection->write);
    }
}


static void
ngx_pinaud_redis_write(ngx_event_t *wev)
{
    ssize_t              n;
    ngx_connection_t    *c;
    ngx_pinaud_redis_t  *redis;

    c = wev->data;
    redis = c->data;

    while (redis->out_pos < redis->out_last) {

        n = c->send(c, redis->out_pos, redis->out_last - redis->out_pos);

        if (n == NGX_AGAIN || n == 0) {
            break;
        }

        if (n == NGX_ERROR) {
            ngx_pinaud_redis_fail(redis, redis->state
                                  == NGX_PINAUD_REDIS_CONNECTING
                                  ? "connect failed" : "write failed");
            return;
        }

        redis->out_pos += n;
    }

    if (redis->out_pos == redis->out_last) {
        redis->out_pos = redis->out;
        redis->out_last = redis->out;
    }

    if (ngx_handle_write_event(wev, 0) != NGX_OK) {
        ngx_pinaud_redis_fail(redis, "event failed");
        return;
    }

    ngx_pinaud_redis_watch(redis);
}


/*
 * A connection on which replies are due must not stay silent for long: the
 * requests have given up by then, and a new connection may do better. The
 * timer is set once and looks at the time of the last progress, since setting
 * and deleting it for each command would cost more than the command.
 */

static void
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


static void
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

static void
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

static void
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
    ngx_queue_t           calls, waiters, *q;
    ngx_pinaud_call_t    *call;
    ngx_pinaud_waiter_t  *waiter;

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

    ngx_queue_init(&waiters);
    if (!ngx_queue_empty(&redis->waiters)) {
        ngx_queue_add(&waiters, &redis->waiters);
        ngx_queue_init(&redis->waiters);
    }

    while (!ngx_queue_empty(&calls)) {
        q = ngx_queue_head(&calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_pinaud_call_t, queue);
        call->handler(call, NULL);
    }

    while (!ngx_queue_empty(&waiters)) {
        q = ngx_queue_head(&waiters);
        ngx_queue_remove(q);

        waiter = ngx_queue_data(q, ngx_pinaud_waiter_t, queue);
        waiter->handler(waiter, 0);
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


/* Makes room at the end of the output, moving or growing it where needed. */

static u_char *
ngx_pinaud_redis_room(ngx_pinaud_redis_t *redis, size_t size)
{
    u_char  *out, *room;
    size_t   used, total;

    if ((size_t) (redis->out_end - redis->out_last) < size) {

        used = redis->out_last - redis->out_pos;

        if (used + size > NGX_PINAUD_REDIS_OUTPUT) {
            return NULL;
        }

        total = ngx_max(2 * (used + size), 16384);

        out = ngx_alloc(total, redis->log);
        if (out == NULL) {
            return NULL;
        }

        if (redis->out) {
            ngx_memcpy(out, redis->out_pos, used);
            ngx_free(redis->out);
        }

        redis->out = out;
        redis->out_pos = out;
        redis->out_last = out + used;
        redis->out_end = out + total;
    }

    room = redis->out_last;
    redis->out_last += size;

    return room;
}
