
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Redis Cluster: its nodes, each with a link, and who of them has which slot,
 * as CLUSTER SLOTS tells.
 */


#include "ngx_pinaud_redis_inside.h"


#define NGX_PINAUD_CLUSTER_INTERVAL  2000          /* ms */
#define NGX_PINAUD_CLUSTER_UNUSED    1000          /* ms */
#define NGX_PINAUD_CLUSTER_MAP       (8 << 20)     /* bytes of a reply */


static const char *ngx_pinaud_cluster_told(ngx_pinaud_link_t *from,
    redisReply *reply);
static ngx_uint_t ngx_pinaud_cluster_range_valid(redisReply *range);
static void ngx_pinaud_cluster_blank(ngx_pinaud_cluster_t *cluster);
static void ngx_pinaud_cluster_range(ngx_pinaud_cluster_t *cluster,
    ngx_pinaud_link_t *from, redisReply **told);
static void ngx_pinaud_cluster_tidy(ngx_pinaud_cluster_t *cluster,
    ngx_pinaud_link_t *from);
static void ngx_pinaud_cluster_forget(ngx_pinaud_cluster_t *cluster,
    ngx_pinaud_node_t *node);
static void ngx_pinaud_cluster_lost(ngx_pinaud_redis_t *redis);
static ngx_pinaud_link_t *ngx_pinaud_cluster_asked(
    ngx_pinaud_redis_t *redis, ngx_uint_t next);
static ngx_pinaud_node_t *ngx_pinaud_cluster_next(
    ngx_pinaud_cluster_t *cluster, ngx_pinaud_node_t *node);
static void ngx_pinaud_cluster_failed(ngx_pinaud_link_t *link,
    const char *reason);


static const ngx_pinaud_link_hooks_t  ngx_pinaud_cluster_hooks = {
    .failed = ngx_pinaud_cluster_failed
};


ngx_int_t
ngx_pinaud_cluster_create(ngx_pinaud_redis_t *redis, ngx_pool_t *pool)
{
    ngx_pinaud_guide_t    *guide;
    ngx_pinaud_cluster_t  *cluster;

    static const char  *question[] = { "CLUSTER", "SLOTS" };

    cluster = ngx_pcalloc(pool, sizeof(ngx_pinaud_cluster_t));
    if (cluster == NULL) {
        return NGX_ERROR;
    }

    cluster->redis = redis;
    ngx_queue_init(&cluster->nodes);
    ngx_queue_init(&cluster->waiters);
    ngx_pinaud_route_init(cluster);

    guide = ngx_pinaud_guide_create(redis, pool, 2, question);
    if (guide == NULL) {
        return NGX_ERROR;
    }

    guide->who = "node";
    guide->interval = NGX_PINAUD_CLUSTER_INTERVAL;
    guide->told = ngx_pinaud_cluster_told;
    guide->lost = ngx_pinaud_cluster_lost;
    guide->asked = ngx_pinaud_cluster_asked;

    guide->link->elements = PINAUD_SLOTS;
    guide->link->largest = NGX_PINAUD_CLUSTER_MAP;

    redis->cluster = cluster;
    redis->guide = guide;

    ngx_pinaud_guide_begin(guide);

    return NGX_OK;
}


void
ngx_pinaud_cluster_close(ngx_pinaud_cluster_t *cluster)
{
    ngx_queue_t  *q;

    ngx_memzero(cluster->slots, sizeof(cluster->slots));
    ngx_pinaud_waiters_tell(&cluster->waiters, 0);

    while (!ngx_queue_empty(&cluster->nodes)) {
        q = ngx_queue_head(&cluster->nodes);
        ngx_pinaud_cluster_forget(cluster, ngx_queue_data(q, ngx_pinaud_node_t,
                                                          queue));
    }

    ngx_pinaud_route_close(cluster);
}


ngx_pinaud_redis_state_e
ngx_pinaud_cluster_state(ngx_pinaud_cluster_t *cluster)
{
    if (cluster->known) {
        return NGX_PINAUD_REDIS_READY;
    }

    return cluster->redis->guide->is_lost ? NGX_PINAUD_REDIS_DOWN
                                          : NGX_PINAUD_REDIS_CONNECTING;
}


ngx_int_t
ngx_pinaud_cluster_wait(ngx_pinaud_cluster_t *cluster,
    ngx_pinaud_waiter_t *waiter)
{
    if (cluster->redis->guide->is_lost) {
        return NGX_DECLINED;
    }

    ngx_queue_insert_tail(&cluster->waiters, &waiter->queue);

    return NGX_OK;
}


ngx_pinaud_node_t *
ngx_pinaud_cluster_node(ngx_pinaud_cluster_t *cluster, const char *host,
    size_t len, in_port_t port)
{
    ngx_queue_t          *q;
    ngx_pinaud_node_t    *node;
    ngx_pinaud_server_t   server, *known;

    if (ngx_pinaud_server_set(&server, host, len, port) != NGX_OK) {
        return NULL;
    }

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_pinaud_node_t, queue);
        known = &node->link->servers[0];

        if (known->port == server.port
            && ngx_strcmp(known->host, server.host) == 0)
        {
            return node;
        }
    }

    if (cluster->nnodes == NGX_PINAUD_NODES) {
        return NULL;
    }

    node = ngx_calloc(sizeof(ngx_pinaud_node_t), cluster->redis->log);
    if (node == NULL) {
        return NULL;
    }

    node->link = ngx_pinaud_link_create(cluster->redis, &server, 1,
                                        &cluster->redis->conf->greeting,
                                        &ngx_pinaud_cluster_hooks);
    if (node->link == NULL) {
        ngx_free(node);
        return NULL;
    }

    node->link->name.data = node->name;
    node->link->name.len = ngx_sprintf(node->name, ngx_strchr(server.host, ':')
                                                   ? "[%s]:%d" : "%s:%d",
                                       server.host, (int) port)
                           - node->name;

    /* it may be asked for its slots; until it tells its time, it is ours */

    node->link->elements = PINAUD_SLOTS;
    node->link->largest = NGX_PINAUD_CLUSTER_MAP;
    node->link->offset = cluster->redis->guide->link->offset;
    node->used = ngx_current_msec;

    ngx_queue_insert_tail(&cluster->nodes, &node->queue);
    cluster->nnodes++;

    return node;
}


/*
 * A map replaces the one before as a whole; what MOVED told since the question
 * was sent is in it, or is told again.
 */

static const char *
ngx_pinaud_cluster_told(ngx_pinaud_link_t *from, redisReply *reply)
{
    size_t                 i;
    ngx_pinaud_cluster_t  *cluster;

    cluster = from->redis->cluster;

    if (reply->type == REDIS_REPLY_ERROR) {
        return (ngx_strncmp(reply->str, "NOPERM", 6) == 0) ? "NOPERM"
                                                           : "is no cluster";
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        return "knows no slots";
    }

    for (i = 0; i < reply->elements; i++) {
        if (!ngx_pinaud_cluster_range_valid(reply->element[i])) {
            return "slots not understood";
        }
    }

    ngx_pinaud_cluster_blank(cluster);

    for (i = 0; i < reply->elements; i++) {
        ngx_pinaud_cluster_range(cluster, from, reply->element[i]->element);
    }

    ngx_pinaud_cluster_tidy(cluster, from);

    if (!cluster->known) {
        cluster->known = 1;
        ngx_pinaud_redis_changed(cluster->redis);
        ngx_pinaud_waiters_tell(&cluster->waiters, 1);
    }

    return NULL;
}


/* First slot, last slot, the master's host and port and more, replicas. */

static ngx_uint_t
ngx_pinaud_cluster_range_valid(redisReply *range)
{
    redisReply  **told, *port;

    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3) {
        return 0;
    }

    told = range->element;

    if (told[0]->type != REDIS_REPLY_INTEGER
        || told[1]->type != REDIS_REPLY_INTEGER
        || told[2]->type != REDIS_REPLY_ARRAY || told[2]->elements < 2)
    {
        return 0;
    }

    port = told[2]->element[1];

    return told[0]->integer >= 0 && told[0]->integer <= told[1]->integer
           && told[1]->integer < PINAUD_SLOTS
           && port->type == REDIS_REPLY_INTEGER
           && port->integer > 0 && port->integer <= 65535;
}


static void
ngx_pinaud_cluster_blank(ngx_pinaud_cluster_t *cluster)
{
    ngx_queue_t        *q;
    ngx_pinaud_node_t  *node;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_pinaud_node_t, queue);
        node->mapped = 0;
    }

    ngx_memzero(cluster->slots, sizeof(cluster->slots));
}


static void
ngx_pinaud_cluster_range(ngx_pinaud_cluster_t *cluster,
    ngx_pinaud_link_t *from, redisReply **told)
{
    size_t              len;
    long long           slot;
    redisReply         *told_host, *port;
    const char         *host;
    ngx_pinaud_node_t  *node;

    told_host = told[2]->element[0];
    port = told[2]->element[1];

    if (told_host->type == REDIS_REPLY_STRING && told_host->len) {
        host = told_host->str;
        len = told_host->len;

    } else {

        /* it does not know under which address it is reached: under this */

        host = (char *) from->servers[from->nserver].host;
        len = ngx_strlen(host);
    }

    node = ngx_pinaud_cluster_node(cluster, host, len, port->integer);
    if (node == NULL) {
        return;
    }

    node->mapped = 1;
    ngx_pinaud_link_open(node->link);

    for (slot = told[0]->integer; slot <= told[1]->integer; slot++) {
        cluster->slots[slot] = node;
    }
}


/* Nodes without slots go when nothing can be under way to them. */

static void
ngx_pinaud_cluster_tidy(ngx_pinaud_cluster_t *cluster,
    ngx_pinaud_link_t *from)
{
    ngx_queue_t        *q;
    ngx_pinaud_node_t  *node;

    q = ngx_queue_head(&cluster->nodes);

    while (q != ngx_queue_sentinel(&cluster->nodes)) {
        node = ngx_queue_data(q, ngx_pinaud_node_t, queue);
        q = ngx_queue_next(q);

        if (node->mapped || node->link == from || node->link->ncalls
            || !ngx_queue_empty(&node->link->waiters)
            || ngx_current_msec - node->used < NGX_PINAUD_CLUSTER_UNUSED)
        {
            continue;
        }

        ngx_log_error(NGX_LOG_NOTICE, cluster->redis->log, 0,
                      "pinaud: store \"%V\" has no slots any more",
                      &node->link->name);

        ngx_pinaud_cluster_forget(cluster, node);
        ngx_pinaud_redis_changed(cluster->redis);
    }
}


static void
ngx_pinaud_cluster_forget(ngx_pinaud_cluster_t *cluster,
    ngx_pinaud_node_t *node)
{
    ngx_queue_remove(&node->queue);
    cluster->nnodes--;

    if (cluster->teller == node) {
        cluster->teller = NULL;
    }

    ngx_pinaud_link_close(node->link);
    ngx_free(node);
}


static void
ngx_pinaud_cluster_lost(ngx_pinaud_redis_t *redis)
{
    if (!redis->cluster->known) {
        ngx_pinaud_redis_changed(redis);
        ngx_pinaud_waiters_tell(&redis->cluster->waiters, 0);
    }
}


/*
 * The guide's link, or the node that is asked instead: what one tells may be
 * old, and where it is cut off from the others it stays so. When a map does not
 * hold, the next one is asked, and goes on being asked while its map does.
 */

static ngx_pinaud_link_t *
ngx_pinaud_cluster_asked(ngx_pinaud_redis_t *redis, ngx_uint_t next)
{
    ngx_pinaud_link_t     *guide;
    ngx_pinaud_node_t     *node;
    ngx_pinaud_cluster_t  *cluster;

    cluster = redis->cluster;
    guide = redis->guide->link;
    node = cluster->teller;

    if (next || (node && node->link->state != NGX_PINAUD_REDIS_READY)) {
        node = ngx_pinaud_cluster_next(cluster, node);
        cluster->teller = node;
    }

    if (node == NULL && next) {

        /* all of them were asked: another one of the URLs is, or again */

        ngx_pinaud_guide_turn(redis->guide);

        return guide;
    }

    if (node == NULL && guide->state != NGX_PINAUD_REDIS_READY) {
        node = ngx_pinaud_cluster_next(cluster, NULL);
    }

    return node ? node->link : guide;
}


/* The first node behind that one, or of all, that can be asked; or NULL. */

static ngx_pinaud_node_t *
ngx_pinaud_cluster_next(ngx_pinaud_cluster_t *cluster,
    ngx_pinaud_node_t *node)
{
    ngx_queue_t  *q;

    q = node ? ngx_queue_next(&node->queue) : ngx_queue_head(&cluster->nodes);

    while (q != ngx_queue_sentinel(&cluster->nodes)) {
        node = ngx_queue_data(q, ngx_pinaud_node_t, queue);
        q = ngx_queue_next(q);

        if (node->link->state == NGX_PINAUD_REDIS_READY) {
            return node;
        }
    }

    return NULL;
}


/* Somebody else may have its slots now, if it had any. */

static void
ngx_pinaud_cluster_failed(ngx_pinaud_link_t *link, const char *reason)
{
    ngx_queue_t           *q;
    ngx_pinaud_node_t     *node;
    ngx_pinaud_cluster_t  *cluster;

    cluster = link->redis->cluster;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_pinaud_node_t, queue);

        if (node->link == link && node->mapped) {
            ngx_pinaud_guide_hurry(link->redis->guide);
        }
    }
}
