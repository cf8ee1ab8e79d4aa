
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What goes over the link to Redis: commands, written once a turn of the
 * event loop, and replies, in the order of the commands. The first of both
 * are in ngx_pinaud_redis_greet.c.
 */


#include "ngx_pinaud_redis_inside.h"


#define NGX_PINAUD_REDIS_HELLO    1024             /* of an array in HELLO's */


static void *ngx_pinaud_link_array(const redisReadTask *task,
    ngx_pinaud_elements_t elements);
static void ngx_pinaud_link_replies(ngx_pinaud_link_t *link);
static ngx_uint_t ngx_pinaud_link_partial(ngx_pinaud_link_t *link);
static void ngx_pinaud_link_reply(ngx_pinaud_link_t *link,
    redisReply *reply);


u_char *
ngx_pinaud_link_command(ngx_pinaud_link_t *link, ngx_pinaud_call_t *call,
    size_t size)
{
    u_char  *room;

    if (link->ncalls >= NGX_PINAUD_REDIS_OUTSTANDING) {
        return NULL;
    }

    room = ngx_pinaud_link_room(link, size);
    if (room == NULL) {
        return NULL;
    }

    if (link->ncalls++ == 0) {
        link->heard = ngx_current_msec;
        link->peer.connection->idle = 0;
    }

    call->link = link;
    ngx_queue_insert_tail(&link->calls, &call->queue);

    if (!link->flush.posted) {
        ngx_post_event(&link->flush, &ngx_posted_events);
    }

    return room;
}


/*
 * hiredis makes room for as many elements as an array's first line tells,
 * which takes gigabytes and seconds where that line is nonsense, and from
 * version 1 on goes as deep as it is led.
 */

ngx_int_t
ngx_pinaud_link_reader(ngx_pinaud_link_t *link)
{
    link->partial = 0;

    link->reader = redisReaderCreate();
    if (link->reader == NULL) {
        return NGX_ERROR;
    }

    link->functions = *link->reader->fn;
    link->create_array = link->functions.createArray;
    link->functions.createArray = ngx_pinaud_link_array;

    link->reader->fn = &link->functions;
    link->reader->privdata = link;

    return NGX_OK;
}


static void *
ngx_pinaud_link_array(const redisReadTask *task,
    ngx_pinaud_elements_t elements)
{
    size_t                most;
    ngx_uint_t            depth;
    ngx_pinaud_link_t    *link;
    const redisReadTask  *parent;

    link = task->privdata;
    depth = 0;

    for (parent = task->parent; parent; parent = parent->parent) {
        depth++;
    }

    /* HELLO tells of modules and their arguments, too */

    most = link->greetings ? NGX_PINAUD_REDIS_HELLO : link->elements;

    if ((size_t) elements > most || depth > NGX_PINAUD_REDIS_DEPTH) {
        return NULL;
    }

    return link->create_array(task, elements);
}


void
ngx_pinaud_link_read(ngx_event_t *rev)
{
    ssize_t              n;
    u_char               buf[16384];
    ngx_connection_t    *c;
    ngx_pinaud_link_t  *link;

    c = rev->data;
    link = c->data;

    if (c->close) {

        /* a graceful quit closes idle connections, its deadline all */

        ngx_pinaud_link_fail(link, "closed");
        return;
    }

    if (rev->timedout) {
        rev->timedout = 0;
        ngx_pinaud_link_silence(link);
        return;
    }

    do {
        n = c->recv(c, buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR) {
            ngx_pinaud_link_fail(link, link->state == NGX_PINAUD_REDIS_READY
                                       ? "read failed" : c->ssl
                                       ? "TLS refused" : "connect failed");
            return;
        }

        if (n == 0) {
            ngx_pinaud_link_fail(link, "closed by Redis");
            return;
        }

        link->partial += n;

        if (redisReaderFeed(link->reader, (char *) buf, n) != REDIS_OK) {
            ngx_pinaud_link_fail(link, "no memory");
            return;
        }

        ngx_pinaud_link_replies(link);

        if (link->peer.connection != c) {
            return;
        }

    } while (rev->ready);

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_pinaud_link_fail(link, "event failed");
        return;
    }

    ngx_pinaud_link_watch(link);
}


/*
 * Hands out the replies that are there. Handlers may issue commands, and may
 * ask to drop the connection, which is done when no handler runs.
 */

static void
ngx_pinaud_link_replies(ngx_pinaud_link_t *link)
{
    void        *reply;
    const char  *reason;

    reason = NULL;
    link->reading = 1;
    link->dropped = NULL;

    while (link->dropped == NULL) {

        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
            reason = "malformed reply";
            break;
        }

        if (reply == NULL) {

            if (link->partial > link->largest) {
                reason = "too large reply";

            } else if (ngx_queue_empty(&link->calls) && link->greetings == 0
                       && ngx_pinaud_link_partial(link))
            {
                reason = "reply that nobody asked for";
            }

            break;
        }

        /*
         * Only whole replies count: one that never ends would swallow those
         * of all later calls.
         */

        link->heard = ngx_current_msec;
        link->partial = 0;

        ngx_pinaud_link_reply(link, reply);
        freeReplyObject(reply);
    }

    link->reading = 0;

    if (link->dropped) {
        reason = link->dropped;
        link->dropped = NULL;
    }

    if (reason) {
        ngx_pinaud_link_down(link, reason);
        ngx_pinaud_link_fail(link, reason);
    }
}


/* Whether the beginning of a reply is there. */

static ngx_uint_t
ngx_pinaud_link_partial(ngx_pinaud_link_t *link)
{
    return link->reader->pos < link->reader->len || link->reader->ridx > 0;
}


static void
ngx_pinaud_link_reply(ngx_pinaud_link_t *link, redisReply *reply)
{
    ngx_queue_t        *q;
    ngx_pinaud_call_t  *call;

    if (link->greetings) {
        ngx_pinaud_link_greeted(link, reply);
        return;
    }

    if (ngx_queue_empty(&link->calls)) {
        link->dropped = "reply that nobody asked for";
        return;
    }

    q = ngx_queue_head(&link->calls);
    ngx_queue_remove(q);
    link->ncalls--;

    if (reply->type != REDIS_REPLY_ERROR) {

        /* only this tells that the store works, not that it can be greeted */

        link->backoff = NGX_PINAUD_REDIS_BACKOFF_MIN;
    }

    call = ngx_queue_data(q, ngx_pinaud_call_t, queue);
    call->handler(call, reply);
}


void
ngx_pinaud_link_flush(ngx_event_t *ev)
{
    ngx_pinaud_link_t  *link;

    link = ev->data;

    if (link->state == NGX_PINAUD_REDIS_READY
        && link->peer.connection->write->ready)
    {
        ngx_pinaud_link_write(link->peer.connection->write);
    }
}


void
ngx_pinaud_link_write(ngx_event_t *wev)
{
    ssize_t              n;
    ngx_connection_t    *c;
    ngx_pinaud_link_t  *link;

    c = wev->data;
    link = c->data;

    while (link->out_pos < link->out_last) {

        n = c->send(c, link->out_pos, link->out_last - link->out_pos);

        if (n == NGX_AGAIN || n == 0) {
            break;
        }

        if (n == NGX_ERROR) {
            ngx_pinaud_link_fail(link, link->state == NGX_PINAUD_REDIS_READY
                                       ? "write failed" : c->ssl
                                       ? "TLS refused" : "connect failed");
            return;
        }

        link->out_pos += n;
    }

    if (link->out_pos == link->out_last) {
        link->out_pos = link->out;
        link->out_last = link->out;
    }

    if (ngx_handle_write_event(wev, 0) != NGX_OK) {
        ngx_pinaud_link_fail(link, "event failed");
        return;
    }

    ngx_pinaud_link_watch(link);
}


u_char *
ngx_pinaud_link_room(ngx_pinaud_link_t *link, size_t size)
{
    u_char  *out, *room;
    size_t   used, total;

    used = link->out_last - link->out_pos;

    if (used + size > NGX_PINAUD_REDIS_OUTPUT) {
        return NULL;
    }

    if ((size_t) (link->out_end - link->out_last) < size) {
        total = ngx_max(2 * (used + size), 16384);

        out = ngx_alloc(total, link->log);
        if (out == NULL) {
            return NULL;
        }

        if (link->out) {
            ngx_memcpy(out, link->out_pos, used);
            ngx_free(link->out);
        }

        link->out = out;
        link->out_pos = out;
        link->out_last = out + used;
        link->out_end = out + total;
    }

    room = link->out_last;
    link->out_last += size;

    return room;
}
