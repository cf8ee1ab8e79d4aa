
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a worker reads from Redis and uses for a few seconds: policies, and
 * whose a team key is. What was read is used for less than five seconds, so
 * that a change takes effect within that time everywhere. One question is
 * under way for an entry, and all who want it wait for its answer. That there
 * is nothing is kept as well, so that asking for it costs Redis no more. Both
 * are bounded, each by itself: whoever asks for what is not there pushes out
 * nothing that is.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_CACHE_AGE  4500         /* ms, the answer's way included */


struct ngx_pinaud_cache_s {
    const ngx_pinaud_cache_kind_t  *kind;
    ngx_pinaud_main_conf_t         *conf;
    ngx_rbtree_t                    rbtree;
    ngx_rbtree_node_t               sentinel;
    ngx_queue_t                     lru[2];      /* the last used first */
    ngx_uint_t                      count[2];
};


/* A question under way: it may outlive the interest of those who asked. */

typedef struct {
    ngx_pinaud_call_t               call;
    ngx_pinaud_cached_t            *entry;
    ngx_msec_t                      asked;
} ngx_pinaud_cache_ask_t;


static ngx_pinaud_cached_t *ngx_pinaud_cache_add(ngx_pinaud_cache_t *cache,
    ngx_str_t *key);
static void ngx_pinaud_cache_remove(ngx_pinaud_cached_t *entry);
static void ngx_pinaud_cache_use(ngx_pinaud_cached_t *entry);
static void ngx_pinaud_cache_reply(ngx_pinaud_call_t *call,
    redisReply *reply);
static void ngx_pinaud_cache_read(ngx_pinaud_cached_t *entry,
    ngx_pinaud_cached_t *old, redisReply *reply);
static ngx_pinaud_cached_t *ngx_pinaud_cache_replace(
    ngx_pinaud_cached_t *old);


ngx_pinaud_cache_t *
ngx_pinaud_cache_create(ngx_pool_t *pool, const ngx_pinaud_cache_kind_t *kind,
    ngx_pinaud_main_conf_t *pmcf)
{
    ngx_pinaud_cache_t  *cache;

    cache = ngx_pcalloc(pool, sizeof(ngx_pinaud_cache_t));
    if (cache == NULL) {
        return NULL;
    }

    cache->kind = kind;
    cache->conf = pmcf;

    ngx_rbtree_init(&cache->rbtree, &cache->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&cache->lru[0]);
    ngx_queue_init(&cache->lru[1]);

    return cache;
}


void
ngx_pinaud_cache_destroy(ngx_pinaud_cache_t *cache)
{
    ngx_uint_t    i;
    ngx_queue_t  *q;

    for (i = 0; i < 2; i++) {

        while (!ngx_queue_empty(&cache->lru[i])) {
            q = ngx_queue_last(&cache->lru[i]);
            ngx_pinaud_cache_remove(ngx_queue_data(q, ngx_pinaud_cached_t,
                                                   lru));
        }
    }
}


ngx_uint_t
ngx_pinaud_cache_understood(redisReply *format)
{
    return format->type == REDIS_REPLY_STRING
           && format->len == sizeof(PINAUD_RECORD_FORMAT) - 1
           && ngx_memcmp(format->str, PINAUD_RECORD_FORMAT, format->len) == 0;
}


ngx_pinaud_main_conf_t *
ngx_pinaud_cache_conf(ngx_pinaud_cached_t *entry)
{
    return entry->cache->conf;
}


ngx_pinaud_cached_t *
ngx_pinaud_cache_get(ngx_pinaud_cache_t *cache, ngx_str_t *key)
{
    ngx_pinaud_cached_t  *entry;

    entry = (ngx_pinaud_cached_t *)
                ngx_str_rbtree_lookup(&cache->rbtree, key,
                                      ngx_crc32_short(key->data, key->len));

    if (entry) {
        ngx_queue_remove(&entry->lru);
        ngx_queue_insert_head(&cache->lru[entry->useful], &entry->lru);

    } else {
        entry = ngx_pinaud_cache_add(cache, key);
        if (entry == NULL) {
            return NULL;
        }
    }

    entry->refs++;

    return entry;
}


void
ngx_pinaud_cache_release(ngx_pinaud_cached_t *entry)
{
    if (--entry->refs) {
        return;
    }

    if (entry->cache->kind->free) {
        entry->cache->kind->free(entry);
    }

    ngx_free(entry);
}


ngx_uint_t
ngx_pinaud_cache_fresh(ngx_pinaud_cached_t *entry)
{
    return entry->fresh && ngx_pinaud_cache_young(entry->asked);
}


ngx_uint_t
ngx_pinaud_cache_young(ngx_msec_t asked)
{
    return ngx_current_msec - asked < NGX_PINAUD_CACHE_AGE;
}


ngx_int_t
ngx_pinaud_cache_ask(ngx_pinaud_cached_t *entry, ngx_pinaud_redis_t *redis,
    int argc, const char **args, const size_t *lens)
{
    ngx_pinaud_cache_ask_t  *ask;

    if (entry->asking) {
        return NGX_OK;
    }

    ask = ngx_alloc(sizeof(ngx_pinaud_cache_ask_t), ngx_cycle->log);
    if (ask == NULL) {
        return NGX_ERROR;
    }

    ask->call.handler = ngx_pinaud_cache_reply;
    ask->entry = entry;
    ask->asked = ngx_current_msec;

    if (ngx_pinaud_redis_send(redis, &ask->call, argc, args, lens) != NGX_OK) {
        ngx_free(ask);
        return NGX_ERROR;
    }

    entry->asking = 1;
    entry->refs++;

    return NGX_OK;
}


/*
 * That an entry can't be used is remembered as well: the log tells it once a
 * reading. Another error than of the key's type tells of Redis, not of what
 * was asked for, and changes nothing.
 */

static void
ngx_pinaud_cache_reply(ngx_pinaud_call_t *call, redisReply *reply)
{
    ngx_pinaud_cached_t     *entry, *old;
    ngx_pinaud_cache_ask_t  *ask;

    ask = (ngx_pinaud_cache_ask_t *) call;
    old = ask->entry;

    old->asking = 0;
    old->fresh = 0;

    if (reply && reply->type == REDIS_REPLY_ERROR
        && ngx_strncmp(reply->str, "WRONGTYPE", 9) != 0)
    {
        if (!old->refused) {
            old->cache->kind->log(old, "Redis refused to read");
            old->refused = 1;
        }

        reply = NULL;
    }

    entry = reply ? ngx_pinaud_cache_replace(old) : NULL;

    if (entry) {
        entry->asked = ask->asked;
        entry->fresh = 1;

        ngx_pinaud_cache_read(entry, old, reply);
    }

    ngx_free(ask);

    ngx_pinaud_waiters_tell(&old->waiting, entry != NULL);

    ngx_pinaud_cache_release(old);
}


static void
ngx_pinaud_cache_read(ngx_pinaud_cached_t *entry, ngx_pinaud_cached_t *old,
    redisReply *reply)
{
    const char                     *reason;
    const ngx_pinaud_cache_kind_t  *kind;

    kind = entry->cache->kind;

    reason = (reply->type == REDIS_REPLY_ERROR) ? "no record"
                                                : kind->read(entry, old, reply);

    if (reason) {
        entry->unreadable = 1;
        kind->log(old, reason);

    } else if (entry->useful) {
        entry->useful = 0;
        ngx_pinaud_cache_use(entry);
    }
}


/* Others may hold the old one still. */

static ngx_pinaud_cached_t *
ngx_pinaud_cache_replace(ngx_pinaud_cached_t *old)
{
    ngx_pinaud_cache_remove(old);

    return ngx_pinaud_cache_add(old->cache, &old->node.str);
}


static ngx_pinaud_cached_t *
ngx_pinaud_cache_add(ngx_pinaud_cache_t *cache, ngx_str_t *key)
{
    ngx_pinaud_cached_t  *entry;

    entry = ngx_calloc(cache->kind->size, ngx_cycle->log);
    if (entry == NULL) {
        return NULL;
    }

    ngx_memcpy(entry->key, key->data, key->len);

    entry->cache = cache;
    entry->node.node.key = ngx_crc32_short(key->data, key->len);
    entry->node.str.data = entry->key;
    entry->node.str.len = key->len;
    ngx_queue_init(&entry->waiting);

    entry->refs = 1;
    entry->known = 1;

    ngx_rbtree_insert(&cache->rbtree, &entry->node.node);
    ngx_queue_insert_head(&cache->lru[0], &entry->lru);
    cache->count[0]++;

    if (cache->count[0] > cache->kind->max[0]) {
        ngx_pinaud_cache_remove(ngx_queue_data(ngx_queue_last(&cache->lru[0]),
                                               ngx_pinaud_cached_t, lru));
    }

    return entry;
}


/* It is of use: from now on only others that are push it out. */

static void
ngx_pinaud_cache_use(ngx_pinaud_cached_t *entry)
{
    ngx_pinaud_cache_t  *cache;

    cache = entry->cache;

    ngx_queue_remove(&entry->lru);
    cache->count[0]--;

    entry->useful = 1;
    ngx_queue_insert_head(&cache->lru[1], &entry->lru);
    cache->count[1]++;

    if (cache->count[1] > cache->kind->max[1]) {
        ngx_pinaud_cache_remove(ngx_queue_data(ngx_queue_last(&cache->lru[1]),
                                               ngx_pinaud_cached_t, lru));
    }
}


/* Takes it out of the tree, and the tree's reference from it. */

static void
ngx_pinaud_cache_remove(ngx_pinaud_cached_t *entry)
{
    ngx_pinaud_cache_t  *cache;

    if (!entry->known) {
        return;
    }

    cache = entry->cache;

    ngx_queue_remove(&entry->lru);
    ngx_rbtree_delete(&cache->rbtree, &entry->node.node);
    cache->count[entry->useful]--;

    entry->known = 0;

    ngx_pinaud_cache_release(entry);
}
