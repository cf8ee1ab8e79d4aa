
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The handshake of a link to Redis: who we are, whether that is a master that
 * has loaded its data, and what time it is there.
 */


#include "ngx_pinaud_redis_inside.h"


#define NGX_PINAUD_REDIS_SECONDS  10               /* digits of its time */


static const char *ngx_pinaud_link_refused(redisReply *reply);
static const char *ngx_pinaud_link_role(redisReply *reply);
static ngx_int_t ngx_pinaud_link_time(ngx_pinaud_link_t *link,
    redisReply *reply);


void
ngx_pinaud_link_greet(ngx_pinaud_link_t *link)
{
    u_char            *room;
    ngx_str_t         *commands;
    ngx_connection_t  *c;

    c = link->peer.connection;
    c->read->handler = ngx_pinaud_link_read;
    c->write->handler = ngx_pinaud_link_write;

    commands = &link->greeting->commands;
    link->greetings = link->greeting->n;

    room = ngx_pinaud_link_room(link, commands->len);
    if (room == NULL) {
        ngx_pinaud_link_fail(link, "no memory");
        return;
    }

    ngx_memcpy(room, commands->data, commands->len);

    ngx_pinaud_link_write(c->write);
}


void
ngx_pinaud_link_greeted(ngx_pinaud_link_t *link, redisReply *reply)
{
    ngx_uint_t  left;

    if (reply->type == REDIS_REPLY_ERROR) {
        link->dropped = ngx_pinaud_link_refused(reply);
        return;
    }

    left = --link->greetings;

    if (link->greeting->role && left == link->greeting->time) {
        link->dropped = ngx_pinaud_link_role(reply);
    }

    if (link->greeting->time && left == 0
        && ngx_pinaud_link_time(link, reply) != NGX_OK)
    {
        link->dropped = "handshake not understood";
    }

    if (left == 0 && link->dropped == NULL) {
        ngx_pinaud_link_ready(link);
    }
}


/* Only a known word of the error: the rest may hold anything. */

static const char *
ngx_pinaud_link_refused(redisReply *reply)
{
    ngx_uint_t  i;

    static const char  *words[] = {
        "LOADING", "WRONGPASS", "NOAUTH", "NOPERM", NULL
    };

    for (i = 0; words[i]; i++) {
        if (ngx_strncmp(reply->str, words[i], ngx_strlen(words[i])) == 0) {
            return words[i];
        }
    }

    return "handshake refused";
}


/* HELLO's reply: names, each with its value behind it. NULL: a master. */

static const char *
ngx_pinaud_link_role(redisReply *reply)
{
    size_t       i;
    redisReply  *name, *value;
    const char  *reason;

    reason = "handshake not understood";

    if (reply->type == REDIS_REPLY_ARRAY) {

        for (i = 0; i + 1 < reply->elements; i += 2) {
            name = reply->element[i];
            value = reply->element[i + 1];

            if (name->type != REDIS_REPLY_STRING
                || value->type != REDIS_REPLY_STRING
                || ngx_strcmp(name->str, "role") != 0)
            {
                continue;
            }

            if (ngx_strcmp(value->str, "master") == 0) {
                return NULL;
            }

            reason = "is a replica";
        }
    }

    return reason;
}


static ngx_int_t
ngx_pinaud_link_time(ngx_pinaud_link_t *link, redisReply *reply)
{
    int64_t      now;
    redisReply  *sec, *usec;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING
        || reply->element[0]->len > NGX_PINAUD_REDIS_SECONDS)
    {
        return NGX_ERROR;
    }

    sec = reply->element[0];
    usec = reply->element[1];

    now = (int64_t) ngx_atotm((u_char *) sec->str, sec->len) * 1000
          + ngx_atoi((u_char *) usec->str, usec->len) / 1000;

    if (!ngx_pinaud_redis_clock_valid(now)) {
        return NGX_ERROR;
    }

    /* what was known is of another connection, perhaps to another Redis */

    link->offset = now - (int64_t) ngx_current_msec;

    return NGX_OK;
}
