
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The inside of a worker's way to Redis, for its own files: the link, which
 * is one connection to one server at a time (connecting, failing, who waits,
 * and what goes over it), and what decides to which server.
 */


#ifndef _NGX_PINAUD_REDIS_INSIDE_H_INCLUDED_
#define _NGX_PINAUD_REDIS_INSIDE_H_INCLUDED_


#include "ngx_pinaud_redis.h"


#pragma GCC visibility push(hidden)


#define NGX_PINAUD_REDIS_BACKOFF_MIN  50           /* ms */

#define NGX_PINAUD_REDIS_OUTSTANDING  65536        /* calls */
#define NGX_PINAUD_REDIS_OUTPUT       (16 << 20)   /* bytes not yet written */
#define NGX_PINAUD_REDIS_REPLY        (1 << 16)    /* bytes of one reply */
#define NGX_PINAUD_REDIS_ELEMENTS     16           /* of an array in it */
#define NGX_PINAUD_REDIS_DEPTH        6            /* arrays in arrays */


#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_pinaud_elements_t;
#else
typedef int     ngx_pinaud_elements_t;
#endif


/* What happens to a link, told to who made it; each may be NULL. */

typedef struct {

    /*
     * Before each attempt to connect: where is the server? The answer, which
     * may come at once, is ngx_pinaud_link_located().
     */
    void                     (*locate)(ngx_pinaud_link_t *link);

    void                     (*ready)(ngx_pinaud_link_t *link);

    /* it ended, or could not be made */
    void                     (*failed)(ngx_pinaud_link_t *link,
                                  const char *reason);
} ngx_pinaud_link_hooks_t;


struct ngx_pinaud_link_s {
    ngx_pinaud_redis_t        *redis;
    ngx_pinaud_redis_conf_t   *conf;
    ngx_pinaud_link_hooks_t    hooks;
    ngx_pinaud_greeting_t     *greeting;
    ngx_str_t                  name;         /* for the log */
    ngx_log_t                 *log;
    ngx_pinaud_redis_state_e   state;

    ngx_pinaud_server_t       *servers;      /* one, or equals */
    ngx_uint_t                 nservers;
    ngx_uint_t                 nserver;      /* the one in use */
    ngx_uint_t                 naddr;        /* its address in use */
    ngx_resolver_ctx_t        *resolving;

    ngx_peer_connection_t      peer;
    redisReader               *reader;
    redisReplyObjectFunctions  functions;    /* the reader's, but for arrays */
    void                    *(*create_array)(const redisReadTask *task,
                                   ngx_pinaud_elements_t elements);
    size_t                     elements;     /* of an array, at most */
    size_t                     largest;      /* bytes of a reply, at most */
    size_t                     partial;      /* bytes of a reply not whole */

    ngx_queue_t                calls;        /* in the order of their replies */
    ngx_uint_t                 ncalls;
    ngx_queue_t                waiters;
    ngx_uint_t                 greetings;    /* handshake replies to come */

    u_char                    *out;          /* what is to be written */
    u_char                    *out_pos;
    u_char                    *out_last;
    u_char                    *out_end;

    ngx_event_t                flush;
    ngx_event_t                reconnect;    /* or gives up locating */
    ngx_connection_t           anchor;       /* debug lines of events read its
                                                descriptor */
    ngx_msec_t                 backoff;
    int64_t                    offset;       /* Redis's clock less ours, ms */

    ngx_msec_t                 heard;        /* when Redis last made progress */
    ngx_msec_t                 began;        /* the attempt to connect */
    ngx_log_t                  muted;        /* nginx logs each connect that
                                                failed */

    const char                *dropped;      /* why the reply loop is to end */
    unsigned                   reading:1;    /* inside of the reply loop */
    unsigned                   locating:1;
    unsigned                   again:1;      /* it failed: resolve anew */
    unsigned                   told_down:1;  /* the log knows it is down */
    unsigned                   told_up:1;
    unsigned                   doubted:1;    /* it answers, but of no use */
    unsigned                   closed:1;     /* for good */
    unsigned                   mute:1;       /* the log is told by others */
};


/*
 * Who tells where masters are: a link to one of the servers of the URLs, the
 * question that is asked over it again and again, and what is made of the
 * answer.
 */

typedef struct {
    ngx_pinaud_link_t         *link;
    ngx_pinaud_call_t          call;
    ngx_str_t                  question;
    const char                *who;          /* for the log */

    /* NULL: it was understood; else why the next server is to be asked */
    const char              *(*told)(ngx_pinaud_link_t *link,
                                  redisReply *reply);

    /* none of the servers was of use, in a row */
    void                     (*lost)(ngx_pinaud_redis_t *redis);

    /*
     * Who is asked, or NULL, instead of the guide's link; the next one where
     * what was told does not hold. May be NULL.
     */
    ngx_pinaud_link_t       *(*asked)(ngx_pinaud_redis_t *redis,
                                  ngx_uint_t next);

    const char                *reason;       /* of the last failure */
    ngx_uint_t                 failed;       /* servers, in a row */
    ngx_msec_t                 interval;
    ngx_event_t                poll;
    ngx_connection_t           anchor;       /* as a link's */
    unsigned                   asking:1;
    unsigned                   hurried:1;    /* it is asked soon */
    unsigned                   is_lost:1;    /* and the log knows */
} ngx_pinaud_guide_t;


#define NGX_PINAUD_NODES  1024

/* A node of a cluster. */

typedef struct {
    ngx_queue_t                queue;
    ngx_pinaud_link_t         *link;
    ngx_msec_t                 used;         /* when something went to it */
    u_char                     name[NGX_PINAUD_HOST + sizeof("[]:65535")];
    unsigned                   mapped:1;     /* it has slots */
} ngx_pinaud_node_t;


typedef struct {
    ngx_pinaud_redis_t        *redis;
    ngx_queue_t                nodes;
    ngx_uint_t                 nnodes;
    ngx_pinaud_node_t         *slots[PINAUD_SLOTS];
    ngx_queue_t                waiters;      /* for the first map */
    ngx_pinaud_node_t         *teller;       /* of maps; NULL: the guide's
                                                link */

    /* commands: see the routes */
    ngx_queue_t                outbox;       /* to be sent this turn */
    ngx_queue_t                paused;       /* to be sent again */
    ngx_event_t                send;
    ngx_event_t                resume;
    ngx_connection_t           anchor;       /* as a link's */
    ngx_uint_t                 nroutes;
    size_t                     bytes;

    unsigned                   known:1;      /* there is a map */
} ngx_pinaud_cluster_t;


struct ngx_pinaud_redis_s {
    ngx_pinaud_redis_conf_t   *conf;
    ngx_log_t                 *log;
    ngx_pinaud_link_t         *link;         /* to the one master; NULL: a
                                                cluster */
    ngx_pinaud_guide_t        *guide;        /* NULL: standalone */
    ngx_pinaud_cluster_t      *cluster;
    ngx_uint_t                 ndown;        /* links known to be down */
    ngx_uint_t                 wanted;       /* by who will ask */
};


/* A link is up or down: tells what that makes of the store. */
void ngx_pinaud_redis_changed(ngx_pinaud_redis_t *redis);


/* the link */

/*
 * Makes a link to one of several servers, of which it takes a copy, and that
 * does not connect yet; NULL on no memory. Closing it tells waiters and calls
 * and frees it.
 */
ngx_pinaud_link_t *ngx_pinaud_link_create(ngx_pinaud_redis_t *redis,
    ngx_pinaud_server_t *servers, ngx_uint_t nservers,
    ngx_pinaud_greeting_t *greeting, const ngx_pinaud_link_hooks_t *hooks);
void ngx_pinaud_link_close(ngx_pinaud_link_t *link);

/* Connects, unless that is under way or to be tried again later. */
void ngx_pinaud_link_open(ngx_pinaud_link_t *link);

/* Connects anew now: its server is another one. */
void ngx_pinaud_link_move(ngx_pinaud_link_t *link);

/* Where its server is; with a reason: it is not known. */
void ngx_pinaud_link_located(ngx_pinaud_link_t *link, const char *reason);

/* The server's addresses are there, or as good as they get. */
void ngx_pinaud_link_connect(ngx_pinaud_link_t *link);

/*
 * As ngx_pinaud_redis_wait(), for this server; one that was closed while idle
 * is connected to again.
 */
ngx_int_t ngx_pinaud_link_wait(ngx_pinaud_link_t *link,
    ngx_pinaud_waiter_t *waiter);

/* The handshake was good: commands may be sent. */
void ngx_pinaud_link_ready(ngx_pinaud_link_t *link);

/* Something went over it: how long may it stay silent from now on? */
void ngx_pinaud_link_watch(ngx_pinaud_link_t *link);

/* The timer of the link has expired. */
void ngx_pinaud_link_silence(ngx_pinaud_link_t *link);

/* Tells the log and the metrics, once, that the store is up, or down. */
void ngx_pinaud_link_up(ngx_pinaud_link_t *link);
void ngx_pinaud_link_down(ngx_pinaud_link_t *link, const char *reason);

/* Ends the connection, tells all who wait, and tries again later. */
void ngx_pinaud_link_fail(ngx_pinaud_link_t *link, const char *reason);

/* The same of one that answers; from a reply's handler, too. */
void ngx_pinaud_link_drop(ngx_pinaud_link_t *link, const char *reason);


/* the guide */

/* Makes one of a question; the caller sets the rest, then begins. */
ngx_pinaud_guide_t *ngx_pinaud_guide_create(ngx_pinaud_redis_t *redis,
    ngx_pool_t *pool, ngx_uint_t argc, const char **args);
void ngx_pinaud_guide_begin(ngx_pinaud_guide_t *guide);
void ngx_pinaud_guide_close(ngx_pinaud_guide_t *guide);

/* Asks now, or as soon as somebody can be asked. */
void ngx_pinaud_guide_ask(ngx_pinaud_guide_t *guide);

/*
 * What was told does not hold: asks within a moment, once for all who want it
 * by then.
 */
void ngx_pinaud_guide_hurry(ngx_pinaud_guide_t *guide);

/* Goes on to another one of its servers, where there are several. */
void ngx_pinaud_guide_turn(ngx_pinaud_guide_t *guide);


/* sentinel: the one master of a name */

ngx_int_t ngx_pinaud_sentinel_create(ngx_pinaud_redis_t *redis,
    ngx_pool_t *pool);


/* cluster: who has which slot */

ngx_int_t ngx_pinaud_cluster_create(ngx_pinaud_redis_t *redis,
    ngx_pool_t *pool);
void ngx_pinaud_cluster_close(ngx_pinaud_cluster_t *cluster);
ngx_pinaud_redis_state_e ngx_pinaud_cluster_state(
    ngx_pinaud_cluster_t *cluster);
ngx_int_t ngx_pinaud_cluster_wait(ngx_pinaud_cluster_t *cluster,
    ngx_pinaud_waiter_t *waiter);

/* The node of an address, made where it is not known. NULL: no more. */
ngx_pinaud_node_t *ngx_pinaud_cluster_node(ngx_pinaud_cluster_t *cluster,
    const char *host, size_t len, in_port_t port);


/* route: a command on its way to the node that has its slot */

void ngx_pinaud_route_init(ngx_pinaud_cluster_t *cluster);

/* At the end: all that wait are told. */
void ngx_pinaud_route_close(ngx_pinaud_cluster_t *cluster);

/* As ngx_pinaud_redis_command(). */
u_char *ngx_pinaud_route_command(ngx_pinaud_cluster_t *cluster,
    ngx_uint_t slot, ngx_pinaud_call_t *call, size_t size);


/* a link's server */

/*
 * Resolves the server's name anew. NGX_OK: there is nothing to resolve it by.
 * NGX_AGAIN: ngx_pinaud_link_connect() follows, also when it fails.
 */
ngx_int_t ngx_pinaud_link_resolve(ngx_pinaud_link_t *link);


/* a link's TLS */

/*
 * Begins TLS on a connection that is made, or will be; the end is
 * ngx_pinaud_link_greet() or a failure.
 */
void ngx_pinaud_link_secure(ngx_pinaud_link_t *link);

/* Frees what TLS holds of a connection that is to be closed. */
void ngx_pinaud_link_unsecure(ngx_connection_t *c);


/* a link's handshake */

/* Begins it, on a connection that is made. */
void ngx_pinaud_link_greet(ngx_pinaud_link_t *link);

/* A reply to it: all must be good, and then the link is ready. */
void ngx_pinaud_link_greeted(ngx_pinaud_link_t *link, redisReply *reply);


/* what goes over a link */

/* A reader for a new connection; NGX_ERROR: no memory. */
ngx_int_t ngx_pinaud_link_reader(ngx_pinaud_link_t *link);

/* Handlers of a connection's events, and of the turn's end: link->flush. */
void ngx_pinaud_link_read(ngx_event_t *rev);
void ngx_pinaud_link_write(ngx_event_t *wev);
void ngx_pinaud_link_flush(ngx_event_t *ev);

/*
 * Room at the end of what is to be written, which may move for it. NULL: no
 * memory, or more waits there than NGX_PINAUD_REDIS_OUTPUT.
 */
u_char *ngx_pinaud_link_room(ngx_pinaud_link_t *link, size_t size);

/* As ngx_pinaud_redis_command(). */
u_char *ngx_pinaud_link_command(ngx_pinaud_link_t *link,
    ngx_pinaud_call_t *call, size_t size);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_REDIS_INSIDE_H_INCLUDED_ */
