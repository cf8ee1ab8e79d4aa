
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The inside of a worker's connection to Redis, for its two files: the link
 * (connecting, failing, who waits) and what goes over it.
 */


#ifndef _NGX_PINAUD_REDIS_LINK_H_INCLUDED_
#define _NGX_PINAUD_REDIS_LINK_H_INCLUDED_


#include "ngx_pinaud_redis.h"


#pragma GCC visibility push(hidden)


#define NGX_PINAUD_REDIS_BACKOFF_MIN  50           /* ms */


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
    ngx_uint_t                 wanted;       /* by who will ask */
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


/* the link */

/* The handshake was good: commands may be sent. */
void ngx_pinaud_redis_ready(ngx_pinaud_redis_t *redis);

/* Something went over it: how long may it stay silent from now on? */
void ngx_pinaud_redis_watch(ngx_pinaud_redis_t *redis);

/* The timer of the link has expired. */
void ngx_pinaud_redis_silence(ngx_pinaud_redis_t *redis);

/* Tells the log and the metrics, once, that the store is down. */
void ngx_pinaud_redis_down(ngx_pinaud_redis_t *redis, const char *reason);

/* Ends the connection, tells all who wait, and tries again later. */
void ngx_pinaud_redis_fail(ngx_pinaud_redis_t *redis, const char *reason);


/* what goes over it */

/* A reader for a new connection. */
ngx_int_t ngx_pinaud_redis_reader(ngx_pinaud_redis_t *redis);

void ngx_pinaud_redis_read(ngx_event_t *rev);
void ngx_pinaud_redis_write(ngx_event_t *wev);
void ngx_pinaud_redis_flush(ngx_event_t *ev);

/* Room for so many bytes of output; NULL: no memory, or too many wait. */
u_char *ngx_pinaud_redis_room(ngx_pinaud_redis_t *redis, size_t size);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_REDIS_LINK_H_INCLUDED_ */
