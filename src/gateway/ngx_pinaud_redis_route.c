
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Commands on their way through a cluster. Each is kept until its reply is
 * there, since the node that is asked may tell that another one has its slot,
 * for good or for this time, or that the slot is on the move. These errors mean
 * that the command did not run: only then it is sent again.
 */


#include "ngx_pinaud_redis_inside.h"


#define NGX_PINAUD_ROUTE_PAUSE  10                 /* ms */
#define NGX_PINAUD_ROUTE_HOPS   16


typedef struct {
    ngx_pinaud_call_t       call;          /* first: ours, of the command */
    ngx_pinaud_call_t       asking;        /* of ASKING before it */
    ngx_pinaud_waiter_t     waiter;        /* for the node */
    ngx_queue_t             queue;         /* in the outbox, or paused */
    ngx_pinaud_cluster_t   *cluster;
    ngx_pinaud_call_t      *caller;
    ngx_pinaud_node_t      *node;          /* for this time; NULL: by slot */
    ngx_uint_t              slot;
    ngx_uint_t              hops;
    ngx_msec_t              began;
    size_t                  size;
    u_char                  command[1];
} ngx_pinaud_route_t;


static void ngx_pinaud_route_event(ngx_event_t *ev);
static void ngx_pinaud_route_resume(ngx_event_t *ev);
static void ngx_pinaud_route_post(ngx_pinaud_route_t *route);
static void ngx_pinaud_route_send(ngx_pinaud_route_t *route);
static void ngx_pinaud_route_woken(ngx_pinaud_waiter_t *waiter,
    ngx_uint_t ready);
static void ngx_pinaud_route_write(ngx_pinaud_route_t *route,
    ngx_pinaud_link_t *link);
static u_char *ngx_pinaud_route_ask(ngx_pinaud_route_t *route,
    ngx_pinaud_link_t *link);
static void ngx_pinaud_route_asked(ngx_pinaud_call_t *call,
    redisReply *reply);
static void ngx_pinaud_route_reply(ngx_pinaud_call_t *call,
    redisReply *reply);
static ngx_int_t ngx_pinaud_route_redirect(ngx_pinaud_route_t *route,
    redisReply *reply);
static ngx_uint_t ngx_pinaud_route_current(ngx_pinaud_route_t *route);
static void ngx_pinaud_route_done(ngx_pinaud_route_t *route,
    redisReply *reply);


static const u_char  ngx_pinaud_asking[] = "*1" CRLF "$6" CRLF "ASKING" CRLF;


void
ngx_pinaud_route_init(ngx_pinaud_cluster_t *cluster)
{
    ngx_queue_init(&cluster->outbox);
    ngx_queue_init(&cluster->paused);

    cluster->send.handler = ngx_pinaud_route_event;
    cluster->send.data = cluster;
    cluster->send.log = cluster->redis->log;

    /* data is what the debug lines take for a connection */

    cluster->anchor.fd = (ngx_socket_t) -1;
    cluster->anchor.data = cluster;
    cluster->resume.handler = ngx_pinaud_route_resume;
    cluster->resume.data = &cluster->anchor;
    cluster->resume.log = cluster->redis->log;
}


void
ngx_pinaud_route_close(ngx_pinaud_cluster_t *cluster)
{
    ngx_queue_t  *q;

    if (cluster->send.posted) {
        ngx_delete_posted_event(&cluster->send);
    }

    if (cluster->resume.timer_set) {
        ngx_del_timer(&cluster->resume);
    }

    if (!ngx_queue_empty(&cluster->paused)) {
        ngx_queue_add(&cluster->outbox, &cluster->paused);
        ngx_queue_init(&cluster->paused);
    }

    while (!ngx_queue_empty(&cluster->outbox)) {
        q = ngx_queue_head(&cluster->outbox);
        ngx_queue_remove(q);
        ngx_pinaud_route_done(ngx_queue_data(q, ngx_pinaud_route_t, queue),
                              NULL);
    }
}


u_char *
ngx_pinaud_route_command(ngx_pinaud_cluster_t *cluster, ngx_uint_t slot,
    ngx_pinaud_call_t *call, size_t size)
{
    ngx_pinaud_route_t  *route;

    if (cluster->nroutes >= NGX_PINAUD_REDIS_OUTSTANDING
        || cluster->bytes + size > NGX_PINAUD_REDIS_OUTPUT)
    {
        return NULL;
    }

    route = ngx_alloc(sizeof(ngx_pinaud_route_t) + size, cluster->redis->log);
    if (route == NULL) {
        return NULL;
    }

    route->call.handler = ngx_pinaud_route_reply;
    route->asking.handler = ngx_pinaud_route_asked;
    route->waiter.handler = ngx_pinaud_route_woken;
    route->cluster = cluster;
    route->caller = call;
    route->node = NULL;
    route->slot = slot;
    route->hops = 0;
    route->began = ngx_current_msec;
    route->size = size;

    cluster->nroutes++;
    cluster->bytes += size;

    ngx_pinaud_route_post(route);

    return route->command;
}


/* To be sent at the end of this turn: it may not be filled yet. */

static void
ngx_pinaud_route_post(ngx_pinaud_route_t *route)
{
    ngx_pinaud_cluster_t  *cluster;

    cluster = route->cluster;

    ngx_queue_insert_tail(&cluster->outbox, &route->queue);

    if (!cluster->send.posted) {
        ngx_post_event(&cluster->send, &ngx_posted_events);
    }
}


static void
ngx_pinaud_route_event(ngx_event_t *ev)
{
    ngx_queue_t            outbox, *q;
    ngx_pinaud_cluster_t  *cluster;

    cluster = ev->data;

    ngx_queue_init(&outbox);

    if (!ngx_queue_empty(&cluster->outbox)) {
        ngx_queue_add(&outbox, &cluster->outbox);
        ngx_queue_init(&cluster->outbox);
    }

    while (!ngx_queue_empty(&outbox)) {
        q = ngx_queue_head(&outbox);
        ngx_queue_remove(q);
        ngx_pinaud_route_send(ngx_queue_data(q, ngx_pinaud_route_t, queue));
    }
}


static void
ngx_pinaud_route_resume(ngx_event_t *ev)
{
    ngx_queue_t           *q;
    ngx_connection_t      *anchor;
    ngx_pinaud_cluster_t  *cluster;

    anchor = ev->data;
    cluster = anchor->data;

    while (!ngx_queue_empty(&cluster->paused)) {
        q = ngx_queue_head(&cluster->paused);
        ngx_queue_remove(q);
        ngx_pinaud_route_post(ngx_queue_data(q, ngx_pinaud_route_t, queue));
    }
}


static void
ngx_pinaud_route_send(ngx_pinaud_route_t *route)
{
    ngx_pinaud_link_t     *link;
    ngx_pinaud_node_t     *node;
    ngx_pinaud_cluster_t  *cluster;

    cluster = route->cluster;
    node = route->node ? route->node : cluster->slots[route->slot];

    if (node == NULL) {

        /* nobody has this slot */

        ngx_pinaud_guide_hurry(cluster->redis->guide);
        ngx_pinaud_route_done(route, NULL);
        return;
    }

    node->used = ngx_current_msec;
    link = node->link;

    if (link->state == NGX_PINAUD_REDIS_READY) {
        ngx_pinaud_route_write(route, link);
        return;
    }

    if (ngx_pinaud_link_wait(link, &route->waiter) != NGX_OK) {
        ngx_pinaud_route_done(route, NULL);
    }
}


static void
ngx_pinaud_route_woken(ngx_pinaud_waiter_t *waiter, ngx_uint_t ready)
{
    ngx_pinaud_route_t  *route;

    route = (ngx_pinaud_route_t *)
                ((u_char *) waiter - offsetof(ngx_pinaud_route_t, waiter));

    if (ready) {

        /* a map that is read before it is sent must not free its node */

        if (route->node) {
            route->node->used = ngx_current_msec;
        }

        ngx_pinaud_route_post(route);
        return;
    }

    ngx_pinaud_route_done(route, NULL);
}


static void
ngx_pinaud_route_write(ngx_pinaud_route_t *route, ngx_pinaud_link_t *link)
{
    u_char  *room;

    room = route->node ? ngx_pinaud_route_ask(route, link)
                       : ngx_pinaud_link_command(link, &route->call,
                                                 route->size);

    if (room == NULL) {
        ngx_pinaud_route_done(route, NULL);
        return;
    }

    ngx_memcpy(room, route->command, route->size);
}


/*
 * ASKING is for the command behind it, whoever's that is: both go out, or
 * neither does.
 */

static u_char *
ngx_pinaud_route_ask(ngx_pinaud_route_t *route, ngx_pinaud_link_t *link)
{
    size_t   len;
    u_char  *room;

    if (link->ncalls + 2 > NGX_PINAUD_REDIS_OUTSTANDING) {
        return NULL;
    }

    len = sizeof(ngx_pinaud_asking) - 1;

    room = ngx_pinaud_link_command(link, &route->asking, len + route->size);
    if (room == NULL) {
        return NULL;
    }

    /* it has its room, and can't fail */

    (void) ngx_pinaud_link_command(link, &route->call, 0);

    return ngx_cpymem(room, ngx_pinaud_asking, len);
}


/* Whether ASKING was good shows by the reply to the command behind it. */

static void
ngx_pinaud_route_asked(ngx_pinaud_call_t *call, redisReply *reply)
{
}


static void
ngx_pinaud_route_reply(ngx_pinaud_call_t *call, redisReply *reply)
{
    ngx_int_t            rc;
    ngx_pinaud_route_t  *route;

    route = (ngx_pinaud_route_t *) call;

    if (reply && reply->type == REDIS_REPLY_ERROR) {

        rc = ngx_pinaud_route_redirect(route, reply);

        if (rc == NGX_OK) {
            return;
        }

        if (rc == NGX_ERROR) {
            reply = NULL;
        }
    }

    ngx_pinaud_route_done(route, reply);
}


/*
 * NGX_OK: it goes out again. NGX_DECLINED: that error says nothing of where to
 * ask. NGX_ERROR: no way leads on, or not in time.
 */

static ngx_int_t
ngx_pinaud_route_redirect(ngx_pinaud_route_t *route, redisReply *reply)
{
    size_t                 len;
    ngx_uint_t             pause;
    const char            *host;
    pinaud_redirect_t      redirect;
    ngx_pinaud_link_t     *link;
    ngx_pinaud_node_t     *node;
    ngx_pinaud_cluster_t  *cluster;

    cluster = route->cluster;
    link = route->call.link;

    pause = (ngx_strncmp(reply->str, "TRYAGAIN", 8) == 0);

    if (!pause && pinaud_redirect_read(reply->str, reply->len, &redirect) != 0)
    {
        if (ngx_strncmp(reply->str, "CLUSTERDOWN", 11) == 0) {
            ngx_pinaud_guide_hurry(cluster->redis->guide);
        }

        return NGX_DECLINED;
    }

    if (ngx_current_msec - route->began >= cluster->redis->conf->timeout) {
        return NGX_ERROR;
    }

    route->node = NULL;

    if (pause) {
        ngx_queue_insert_tail(&cluster->paused, &route->queue);

        if (!cluster->resume.timer_set) {
            ngx_add_timer(&cluster->resume, NGX_PINAUD_ROUTE_PAUSE);
        }

        return NGX_OK;
    }

    if (++route->hops > NGX_PINAUD_ROUTE_HOPS) {
        return NGX_ERROR;
    }

    host = redirect.host[0] ? redirect.host
                            : (char *) link->servers[link->nserver].host;
    len = ngx_strlen(host);

    node = ngx_pinaud_cluster_node(cluster, host, len, redirect.port);
    if (node == NULL) {
        return NGX_ERROR;
    }

    node->used = ngx_current_msec;

    if (redirect.ask) {
        route->node = node;

    } else if (ngx_pinaud_route_current(route)) {
        cluster->slots[route->slot] = node;
        ngx_pinaud_guide_hurry(cluster->redis->guide);
    }

    ngx_pinaud_route_post(route);

    return NGX_OK;
}


/*
 * Whether who answered has the slot by the map; else that was changed since,
 * and an answer that belongs to an older one does not change it back.
 */

static ngx_uint_t
ngx_pinaud_route_current(ngx_pinaud_route_t *route)
{
    ngx_pinaud_node_t  *node;

    node = route->cluster->slots[route->slot];

    return node == NULL || node->link == route->call.link;
}


static void
ngx_pinaud_route_done(ngx_pinaud_route_t *route, redisReply *reply)
{
    ngx_pinaud_call_t     *caller;
    ngx_pinaud_cluster_t  *cluster;

    cluster = route->cluster;
    caller = route->caller;
    caller->link = route->call.link;

    cluster->nroutes--;
    cluster->bytes -= route->size;

    ngx_free(route);

    caller->handler(caller, reply);
}
