
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A worker's connection to Redis: nginx's events, hiredis as codec. One
 * connection, pipelined, written once a turn of the event loop.
 */


#ifndef _NGX_PINAUD_REDIS_H_INCLUDED_
#define _NGX_PINAUD_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <hiredis/hiredis.h>


#pragma GCC visibility push(hidden)


typedef struct ngx_pinaud_call_s   ngx_pinaud_call_t;
typedef struct ngx_pinaud_redis_s  ngx_pinaud_redis_t;


/*
 * What is known of a reply. The reply itself is freed after the handler.
 * NULL: the connection was lost and whether the command ran is not known.
 */
typedef void (*ngx_pinaud_reply_pt)(ngx_pinaud_call_t *call,
    redisReply *reply);


/*
 * A command under way. Its memory is the caller's, must not be a request's
 * (a reply can come after the request is gone), and is the caller's again
 * when the handler is called, which happens exactly once.
 */

struct ngx_pinaud_call_s {
    ngx_queue_t               queue;
    ngx_pinaud_reply_pt       handler;
    void                     *data;
};


/* Somebody who waits: until the connection is ready, or fails. */

typedef struct ngx_pinaud_waiter_s  ngx_pinaud_waiter_t;

struct ngx_pinaud_waiter_s {
    ngx_queue_t               queue;
    void                    (*handler)(ngx_pinaud_waiter_t *waiter,
                                  ngx_uint_t ready);
};

/*
 * Takes all out of a queue of waiters and tells each. Handlers may take others
 * out by their queue, and queue anew, which is not told.
 */
void ngx_pinaud_waiters_tell(ngx_queue_t *waiters, ngx_uint_t ready);


typedef struct {
    ngx_addr_t               *addrs;         /* of the one server */
    ngx_uint_t                naddrs;
    ngx_str_t                 name;          /* for the log */
    ngx_str_t                 handshake;     /* AUTH, SELECT, PING, TIME */
    ngx_uint_t                nhandshake;
    ngx_msec_t                timeout;
    ngx_msec_t                connect_timeout;

    /* called once a change of state, with a short reason */
    void                    (*changed)(void *data, ngx_uint_t up,
                                  const char *reason);
    void                     *data;
} ngx_pinaud_redis_conf_t;


typedef enum {
    NGX_PINAUD_REDIS_DOWN = 0,
    NGX_PINAUD_REDIS_CONNECTING,             /* handshake included */
    NGX_PINAUD_REDIS_READY
} ngx_pinaud_redis_state_e;


/* Makes a worker's connection and begins to connect; NULL on no memory. */
ngx_pinaud_redis_t *ngx_pinaud_redis_create(ngx_pinaud_redis_conf_t *conf,
    ngx_pool_t *pool, ngx_log_t *log);

/* Closes for good, at the worker's exit. Waiters and calls are told. */
void ngx_pinaud_redis_close(ngx_pinaud_redis_t *redis);

ngx_pinaud_redis_state_e ngx_pinaud_redis_state(ngx_pinaud_redis_t *redis);

/*
 * Queues a waiter for the connection to be ready; it may be taken out by its
 * queue. NGX_DECLINED: Redis is known to be down.
 */
ngx_int_t ngx_pinaud_redis_wait(ngx_pinaud_redis_t *redis,
    ngx_pinaud_waiter_t *waiter);

/*
 * Room for one command of the given size, to be filled at once, whose reply
 * the call's handler gets. Only while ready. NULL: no memory, or more is
 * outstanding than Redis keeps up with; then the call was not taken.
 */
u_char *ngx_pinaud_redis_command(ngx_pinaud_redis_t *redis,
    ngx_pinaud_call_t *call, size_t size);

/* The same for a command that is made of its arguments. NGX_ERROR: as NULL. */
ngx_int_t ngx_pinaud_redis_send(ngx_pinaud_redis_t *redis,
    ngx_pinaud_call_t *call, ngx_uint_t argc, const char **args,
    const size_t *lens);

/*
 * A command will follow, within this turn of the event loop or when the
 * connection is back: a worker that quits keeps it until then.
 */
void ngx_pinaud_redis_want(ngx_pinaud_redis_t *redis);
void ngx_pinaud_redis_unwant(ngx_pinaud_redis_t *redis);

/* Redis's clock now, in milliseconds, never later than it is. */
int64_t ngx_pinaud_redis_now(ngx_pinaud_redis_t *redis);

/*
 * Whether a time that Redis told can be one: deadlines are sent in so many
 * digits.
 */
#define ngx_pinaud_redis_clock_valid(now)                                    \
    ((now) >= 1000000000000 && (now) < 9000000000000)

/*
 * What a reply told of Redis's clock, and when the question was made, by
 * ngx_current_msec: the reply may be late.
 */
void ngx_pinaud_redis_clock(ngx_pinaud_redis_t *redis, int64_t now,
    ngx_msec_t sent);

/*
 * Drops the connection: an answer showed that it can't be used (READONLY,
 * LOADING, NOAUTH). To be called from a reply's handler, too. A new one, which
 * may be no better, counts as up only after an answer that was of use.
 */
void ngx_pinaud_redis_drop(ngx_pinaud_redis_t *redis, const char *reason);
void ngx_pinaud_redis_good(ngx_pinaud_redis_t *redis);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_REDIS_H_INCLUDED_ */
