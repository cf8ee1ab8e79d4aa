
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Who tells where masters are: one of several servers is asked again and
 * again, and the next one where it is of no use.
 */


#include "ngx_pinaud_redis_inside.h"


#define NGX_PINAUD_GUIDE_HURRY  50                 /* ms */


static void ngx_pinaud_guide_ready(ngx_pinaud_link_t *link);
static void ngx_pinaud_guide_failed(ngx_pinaud_link_t *link,
    const char *reason);
static void ngx_pinaud_guide_send(ngx_pinaud_guide_t *guide, ngx_uint_t next);
static void ngx_pinaud_guide_reply(ngx_pinaud_call_t *call,
    redisReply *reply);
static void ngx_pinaud_guide_poll(ngx_event_t *ev);


static const ngx_pinaud_link_hooks_t  ngx_pinaud_guide_hooks = {
    .ready = ngx_pinaud_guide_ready,
    .failed = ngx_pinaud_guide_failed
};


ngx_pinaud_guide_t *
ngx_pinaud_guide_create(ngx_pinaud_redis_t *redis, ngx_pool_t *pool,
    ngx_uint_t argc, const char **args)
{
    int                  n;
    char                *command;
    ngx_pinaud_guide_t  *guide;

    guide = ngx_pcalloc(pool, sizeof(ngx_pinaud_guide_t));
    if (guide == NULL) {
        return NULL;
    }

    n = redisFormatCommandArgv(&command, argc, args, NULL);
    if (n < 0) {
        return NULL;
    }

    guide->question.data = ngx_pnalloc(pool, n);

    if (guide->question.data) {
        ngx_memcpy(guide->question.data, command, n);
        guide->question.len = n;
    }

    redisFreeCommand(command);

    guide->link = ngx_pinaud_link_create(redis, redis->conf->servers,
                                         redis->conf->nservers,
                                         &redis->conf->guide,
                                         &ngx_pinaud_guide_hooks);

    if (guide->link == NULL || guide->question.data == NULL) {
        return NULL;
    }

    guide->link->mute = 1;

    guide->call.handler = ngx_pinaud_guide_reply;
    guide->call.data = guide;

    /* data is what the debug lines take for a connection */

    guide->anchor.fd = (ngx_socket_t) -1;
    guide->anchor.data = guide;
    guide->poll.handler = ngx_pinaud_guide_poll;
    guide->poll.data = &guide->anchor;
    guide->poll.log = redis->log;
    guide->poll.cancelable = 1;

    return guide;
}


void
ngx_pinaud_guide_begin(ngx_pinaud_guide_t *guide)
{
    ngx_add_timer(&guide->poll, guide->interval);
    ngx_pinaud_link_open(guide->link);
}


void
ngx_pinaud_guide_close(ngx_pinaud_guide_t *guide)
{
    if (guide->poll.timer_set) {
        ngx_del_timer(&guide->poll);
    }

    ngx_pinaud_link_close(guide->link);
}


void
ngx_pinaud_guide_ask(ngx_pinaud_guide_t *guide)
{
    if (guide->link->state != NGX_PINAUD_REDIS_READY) {
        ngx_pinaud_link_open(guide->link);
    }

    ngx_pinaud_guide_send(guide, 0);
}


void
ngx_pinaud_guide_hurry(ngx_pinaud_guide_t *guide)
{
    if (!guide->hurried) {
        guide->hurried = 1;
        ngx_add_timer(&guide->poll, NGX_PINAUD_GUIDE_HURRY);
    }
}


void
ngx_pinaud_guide_turn(ngx_pinaud_guide_t *guide)
{
    ngx_pinaud_link_t  *asked;

    asked = guide->link;

    if ((asked->nservers > 1 || asked->servers[0].naddrs > 1)
        && asked->state == NGX_PINAUD_REDIS_READY && asked->ncalls == 0
        && !asked->reading)
    {
        ngx_pinaud_link_fail(asked, "another is asked");
    }
}


static void
ngx_pinaud_guide_ready(ngx_pinaud_link_t *link)
{
    ngx_pinaud_guide_send(link->redis->guide, 0);
}


static void
ngx_pinaud_guide_send(ngx_pinaud_guide_t *guide, ngx_uint_t next)
{
    u_char             *room;
    ngx_pinaud_link_t  *link;

    if (guide->asking) {
        return;
    }

    link = guide->link;

    if (guide->asked) {
        link = guide->asked(link->redis, next);
    }

    if (link == NULL || link->state != NGX_PINAUD_REDIS_READY) {
        return;
    }

    room = ngx_pinaud_link_command(link, &guide->call, guide->question.len);
    if (room) {
        ngx_memcpy(room, guide->question.data, guide->question.len);
        guide->asking = 1;
    }
}


static void
ngx_pinaud_guide_reply(ngx_pinaud_call_t *call, redisReply *reply)
{
    const char          *reason;
    ngx_pinaud_link_t   *link;
    ngx_pinaud_guide_t  *guide;
    ngx_pinaud_redis_t  *redis;

    guide = call->data;
    link = call->link;
    redis = link->redis;

    guide->asking = 0;

    if (reply == NULL) {
        return;
    }

    reason = guide->told(link, reply);

    if (reason == NULL && guide->hurried) {

        /* that was of what had been told before */

        guide->hurried = 0;
        ngx_add_timer(&guide->poll, guide->interval);
    }

    if (link != guide->link) {

        if (reason) {
            ngx_pinaud_guide_hurry(guide);
        }

        return;
    }

    if (reason) {
        ngx_pinaud_link_drop(link, reason);
        return;
    }

    if (guide->is_lost) {
        ngx_log_error(NGX_LOG_NOTICE, redis->log, 0,
                      "pinaud: a %s of store \"%V\" answers again",
                      guide->who, &redis->conf->name);
    }

    guide->failed = 0;
    guide->is_lost = 0;

    link->doubted = 0;
    ngx_pinaud_link_up(link);
}


/* One that merely ended while nothing was asked is opened again. */

static void
ngx_pinaud_guide_failed(ngx_pinaud_link_t *link, const char *reason)
{
    ngx_pinaud_redis_t  *redis;
    ngx_pinaud_guide_t  *guide;

    redis = link->redis;
    guide = redis->guide;

    if (!link->told_down || ++guide->failed < link->nservers) {
        return;
    }

    if (!guide->is_lost) {
        ngx_log_error(NGX_LOG_ERR, redis->log, 0,
                      "pinaud: no %s of store \"%V\" answers: %s",
                      guide->who, &redis->conf->name, reason);
    }

    guide->reason = reason;
    guide->is_lost = 1;
    guide->lost(redis);
}


static void
ngx_pinaud_guide_poll(ngx_event_t *ev)
{
    ngx_uint_t           next;
    ngx_connection_t    *anchor;
    ngx_pinaud_guide_t  *guide;

    anchor = ev->data;
    guide = anchor->data;

    next = guide->hurried;
    guide->hurried = 0;
    ngx_add_timer(ev, guide->interval);

    ngx_pinaud_guide_send(guide, next);
}
