
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What Redis is told without anybody waiting for the answer: charges given
 * back, and cooldowns.
 */


#include "ngx_pinaud.h"


typedef struct {
    ngx_pinaud_call_t           call;
    ngx_pinaud_redis_t         *redis;
    const ngx_pinaud_script_t  *script;
    ngx_pinaud_told_pt          handler;
    void                       *data;
    ngx_uint_t                  slot;
    u_char                     *tail;      /* the command behind its script */
    size_t                      tail_len;
    ngx_uint_t                  argc;
    ngx_uint_t                  whole;     /* the script goes along */
} ngx_pinaud_tell_t;


static ngx_int_t ngx_pinaud_tell_send(ngx_pinaud_tell_t *tell);
static void ngx_pinaud_tell_reply(ngx_pinaud_call_t *call, redisReply *reply);


ngx_int_t
ngx_pinaud_tell(ngx_pinaud_redis_t *redis, const ngx_pinaud_script_t *script,
    ngx_uint_t argc, const char **args, const size_t *lens,
    ngx_pinaud_told_pt handler, void *data)
{
    int                 n;
    char               *command, *tail;
    ngx_pinaud_tell_t  *tell;

    if (ngx_pinaud_redis_state(redis) != NGX_PINAUD_REDIS_READY) {
        return NGX_DECLINED;
    }

    n = redisFormatCommandArgv(&command, argc, args, lens);
    if (n < 0) {
        return NGX_ERROR;
    }

    /* behind "*N", which counts the command's verb and script, too */

    tail = ngx_strchr(command, LF) + 1;
    n -= tail - command;

    tell = ngx_alloc(sizeof(ngx_pinaud_tell_t) + n, ngx_cycle->log);

    if (tell) {
        tell->call.handler = ngx_pinaud_tell_reply;
        tell->redis = redis;
        tell->script = script;
        tell->handler = handler;
        tell->data = data;
        tell->slot = ngx_pinaud_redis_slot(redis, args[1], lens[1]);
        tell->argc = argc;
        tell->whole = 0;
        tell->tail = (u_char *) tell + sizeof(ngx_pinaud_tell_t);
        tell->tail_len = n;
        ngx_memcpy(tell->tail, tail, n);
    }

    redisFreeCommand(command);

    if (tell == NULL) {
        return NGX_ERROR;
    }

    if (ngx_pinaud_tell_send(tell) != NGX_OK) {
        ngx_free(tell);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* EVALSHA, or EVAL where Redis did not know the script. */

static ngx_int_t
ngx_pinaud_tell_send(ngx_pinaud_tell_t *tell)
{
    size_t   len;
    u_char  *room, *p, head[sizeof("*$$" CRLF CRLF CRLF "EVALSHA" CRLF)
                            + 2 * NGX_INT_T_LEN];

    len = tell->whole ? tell->script->text_len : sizeof(tell->script->sha1);

    p = ngx_sprintf(head, tell->whole ? "*%ui" CRLF "$4" CRLF "EVAL" CRLF
                                        "$%uz" CRLF
                                      : "*%ui" CRLF "$7" CRLF "EVALSHA" CRLF
                                        "$%uz" CRLF,
                    tell->argc + 2, len);

    room = ngx_pinaud_redis_command(tell->redis, tell->slot, &tell->call,
                                    (p - head) + len + sizeof(CRLF) - 1
                                    + tell->tail_len);
    if (room == NULL) {
        return NGX_DECLINED;
    }

    room = ngx_cpymem(room, head, p - head);
    room = ngx_cpymem(room, tell->whole ? (u_char *) tell->script->text
                                        : tell->script->sha1, len);
    *room++ = CR;
    *room++ = LF;
    ngx_memcpy(room, tell->tail, tell->tail_len);

    return NGX_OK;
}


static void
ngx_pinaud_tell_reply(ngx_pinaud_call_t *call, redisReply *reply)
{
    ngx_pinaud_tell_t  *tell;

    tell = (ngx_pinaud_tell_t *) call;

    if (reply && reply->type == REDIS_REPLY_ERROR && !tell->whole
        && ngx_strncmp(reply->str, "NOSCRIPT", 8) == 0)
    {
        tell->whole = 1;

        if (ngx_pinaud_redis_state(tell->redis) == NGX_PINAUD_REDIS_READY
            && ngx_pinaud_tell_send(tell) == NGX_OK)
        {
            return;
        }

        reply = NULL;
    }

    if (tell->handler) {
        tell->handler(tell->data, reply);
    }

    ngx_free(tell);
}
