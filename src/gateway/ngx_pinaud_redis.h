
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A worker's way to Redis: nginx's events, hiredis as codec. Commands are
 * pipelined and written once a turn of the event loop.
 */


#ifndef _NGX_PINAUD_REDIS_H_INCLUDED_
#define _NGX_PINAUD_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <hiredis/hiredis.h>

#include "pinaud_slot.h"
#include "pinaud_url.h"


#pragma GCC visibility push(hidden)


typedef struct ngx_pinaud_call_s   ngx_pinaud_call_t;
typedef struct ngx_pinaud_link_s   ngx_pinaud_link_t;
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
    ngx_pinaud_link_t        *link;          /* over which its reply came */
};


/* Somebody who waits until Redis is ready, or known to be down. */

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


#define NGX_PINAUD_HOST       256
#define NGX_PINAUD_ADDRESSES  8

/* A server, and where its name led to last. */

typedef struct {
    u_char                    host[NGX_PINAUD_HOST];       /* ends in a zero */
    in_port_t                 port;
    ngx_uint_t                naddrs;
    ngx_sockaddr_t            addrs[NGX_PINAUD_ADDRESSES];
    socklen_t                 socklens[NGX_PINAUD_ADDRESSES];
    unsigned                  named:1;       /* the host is not an address */
} ngx_pinaud_server_t;

/*
 * Makes it a host, which may be an address; a name has no addresses then. The
 * port is in host order. NGX_ERROR: no host.
 */
ngx_int_t ngx_pinaud_server_set(ngx_pinaud_server_t *server,
    const char *host, size_t len, in_port_t port);


/* What a connection begins with: AUTH, SELECT, PING, HELLO, TIME. */

typedef struct {
    ngx_str_t                 commands;
    ngx_uint_t                n;
    unsigned                  role:1;        /* HELLO is there: the server has
                                                to be a master */
    unsigned                  time:1;        /* TIME is, the last of them */
} ngx_pinaud_greeting_t;


typedef struct {
    pinaud_reach_e            mode;
    ngx_pinaud_server_t      *servers;       /* of the URLs */
    ngx_uint_t                nservers;
    ngx_str_t                 name;          /* the URL, or the name by which
                                                sentinels know the master */
    ngx_pinaud_greeting_t     greeting;      /* of a master */
    ngx_pinaud_greeting_t     guide;         /* of who tells where masters
                                                are */
    ngx_msec_t                timeout;
    ngx_msec_t                connect_timeout;

    ngx_ssl_t                *ssl;           /* NULL: in the clear */
    ngx_str_t                 ssl_name;      /* empty: the host's */

    ngx_resolver_t           *resolver;      /* NULL: names keep their
                                                addresses */
    ngx_msec_t                resolver_timeout;

    /* called at each change of state */
    void                    (*changed)(void *data, ngx_uint_t up);
    void                     *data;
} ngx_pinaud_redis_conf_t;


typedef enum {
    NGX_PINAUD_REDIS_DOWN = 0,
    NGX_PINAUD_REDIS_CONNECTING,             /* handshake included */
    NGX_PINAUD_REDIS_READY
} ngx_pinaud_redis_state_e;


/* Begins to connect, for a worker; NULL on no memory. */
ngx_pinaud_redis_t *ngx_pinaud_redis_create(ngx_pinaud_redis_conf_t *conf,
    ngx_pool_t *pool, ngx_log_t *log);

/* Closes for good, at the worker's exit. Waiters and calls are told. */
void ngx_pinaud_redis_close(ngx_pinaud_redis_t *redis);

/* Of a cluster: that of its nodes together. */
ngx_pinaud_redis_state_e ngx_pinaud_redis_state(ngx_pinaud_redis_t *redis);

/*
 * Queues a waiter for Redis to be ready; it may be taken out by its queue.
 * NGX_DECLINED: Redis is known to be down.
 */
ngx_int_t ngx_pinaud_redis_wait(ngx_pinaud_redis_t *redis,
    ngx_pinaud_waiter_t *waiter);

/* What tells the node that has a key, and all keys of its hash tag. */
ngx_uint_t ngx_pinaud_redis_slot(ngx_pinaud_redis_t *redis, const char *key,
    size_t len);

/*
 * Room for one command of the given size, to be filled at once, whose reply
 * the call's handler gets. Only while ready. NULL: no memory, or more is
 * outstanding than Redis keeps up with; then the call was not taken.
 */
u_char *ngx_pinaud_redis_command(ngx_pinaud_redis_t *redis, ngx_uint_t slot,
    ngx_pinaud_call_t *call, size_t size);

/*
 * The same for a command that is made of its arguments, of which the second is
 * its key. NGX_ERROR: as NULL.
 */
ngx_int_t ngx_pinaud_redis_send(ngx_pinaud_redis_t *redis,
    ngx_pinaud_call_t *call, ngx_uint_t argc, const char **args,
    const size_t *lens);

/*
 * A command will follow, within this turn of the event loop or when the
 * connection is back: a worker that quits keeps it until then.
 */
void ngx_pinaud_redis_want(ngx_pinaud_redis_t *redis);
void ngx_pinaud_redis_unwant(ngx_pinaud_redis_t *redis);

/* A node's clock now, in milliseconds, never later than it is. */
int64_t ngx_pinaud_redis_now(ngx_pinaud_redis_t *redis, ngx_uint_t slot);

/*
 * Whether a time that Redis told can be one: deadlines are sent in so many
 * digits.
 */
#define ngx_pinaud_redis_clock_valid(now)                                    \
    ((now) >= 1000000000000 && (now) < 9000000000000)

/*
 * What a reply told of the clock of the node that sent it, and when the
 * question was made, by ngx_current_msec: the reply may be late.
 */
void ngx_pinaud_redis_clock(ngx_pinaud_call_t *call, int64_t now,
    ngx_msec_t sent);

/*
 * A reply showed that who sent it can't be used (READONLY, LOADING, NOAUTH):
 * drops the connection. To be called from the reply's handler. A new one,
 * which may be no better, counts as up only after a reply that was of use.
 */
void ngx_pinaud_redis_drop(ngx_pinaud_call_t *call, const char *reason);
void ngx_pinaud_redis_good(ngx_pinaud_call_t *call);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_REDIS_H_INCLUDED_ */
