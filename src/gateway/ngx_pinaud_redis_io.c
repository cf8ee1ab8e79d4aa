
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What goes over the link to Redis: commands, written once a turn of the
 * event loop, and replies, in the order of the commands.
 */


#include "ngx_pinaud_redis_link.h"


#define NGX_PINAUD_REDIS_OUTSTANDING  65536        /* calls */
#define NGX_PINAUD_REDIS_OUTPUT       (16 << 20)   /* bytes not yet written */
#define NGX_PINAUD_REDIS_REPLY        (1 << 16)    /* bytes of one reply */
#define NGX_PINAUD_REDIS_ELEMENTS     16           /* of an array in it */
#define NGX_PINAUD_REDIS_SECONDS      10           /* digits of Redis's time */


static void *ngx_pinaud_redis_array(const redisReadTask *task,
    ngx_pinaud_elements_t elements);
static void ngx_pinaud_redis_replies(ngx_pinaud_redis_t *redis);
static void ngx_pinaud_redis_reply(ngx_pinaud_redis_t *redis,
    redisReply *reply);
static void ngx_pinaud_redis_greet(ngx_pinaud_redis_t *redis,
    redisReply *reply);


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


ngx_int_t
ngx_pinaud_redis_send(ngx_pinaud_redis_t *redis, ngx_pinaud_call_t *call,
    ngx_uint_t argc, const char **args, const size_t *lens)
{
    int      n;
    char    *command;
    u_char  *room;

    n = redisFormatCommandArgv(&command, argc, args, lens);
    if (n < 0) {
        return NGX_ERROR;
    }

    room = ngx_pinaud_redis_command(redis, call, n);

    if (room) {
        ngx_memcpy(room, command, n);
    }

    redisFreeCommand(command);

    return room ? NGX_OK : NGX_ERROR;
}


/*
 * hiredis makes room for as many elements as an array's first line tells,
 * which takes gigabytes and seconds where that line is nonsense.
 */

ngx_int_t
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


void
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

    /* what was known is of another connection, perhaps to another Redis */

    ngx_pinaud_redis_clock(redis, now, ngx_current_msec);
    ngx_pinaud_redis_ready(redis);
}


void
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


void
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


/* Makes room at the end of the output, moving or growing it where needed. */

u_char *
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
