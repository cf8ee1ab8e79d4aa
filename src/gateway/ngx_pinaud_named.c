
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Tables of what is known by name, in shared memory: read and counted in
 * without a lock by all workers.
 */


#include "ngx_pinaud_zone.h"


#define NGX_PINAUD_WINDOW     16           /* entries that a name may be in */


static ngx_pinaud_named_t *ngx_pinaud_named_find(ngx_pinaud_table_t *table,
    u_char *name, size_t len, ngx_pinaud_named_t **room);
static ngx_uint_t ngx_pinaud_named_hash(u_char *name, size_t len);


ngx_pinaud_named_t *
ngx_pinaud_named(ngx_slab_pool_t *shpool, ngx_pinaud_table_t *table,
    u_char *name, size_t len)
{
    ngx_pinaud_named_t  *entry, *room;

    if (len == 0) {
        return NULL;
    }

    len = ngx_min(len, PINAUD_NAME_MAX);

    entry = ngx_pinaud_named_find(table, name, len, &room);

    if (entry || room == NULL) {
        return entry;
    }

    ngx_shmtx_lock(&shpool->mutex);

    /* another worker may have been faster */

    entry = ngx_pinaud_named_find(table, name, len, &room);

    if (entry == NULL && room) {
        entry = room;

        entry->len = 0;
        ngx_memory_barrier();

        ngx_memzero(entry, table->size);
        ngx_memcpy(entry->name, name, len);
        entry->seen = ngx_time();

        ngx_memory_barrier();
        entry->len = len;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return entry;
}


/*
 * A name may be anywhere in a window of the table, which is looked through to
 * its end: entries that give way leave no gap that would hide others.
 */

static ngx_pinaud_named_t *
ngx_pinaud_named_find(ngx_pinaud_table_t *table, u_char *name, size_t len,
    ngx_pinaud_named_t **room)
{
    ngx_uint_t           i, hash;
    ngx_pinaud_named_t  *entry, *stale;

    stale = NULL;
    *room = NULL;

    hash = ngx_pinaud_named_hash(name, len);

    for (i = 0; i < NGX_PINAUD_WINDOW; i++) {
        entry = (ngx_pinaud_named_t *)
                    ((u_char *) table->entries
                     + (hash + i) % table->n * table->size);

        if (entry->len == len && ngx_memcmp(entry->name, name, len) == 0) {
            return entry;
        }

        if (entry->len == 0) {
            if (*room == NULL) {
                *room = entry;
            }

        } else if (table->idle && stale == NULL
                   && ngx_time() - (time_t) entry->seen >= table->idle)
        {
            stale = entry;
        }
    }

    if (*room == NULL) {
        *room = stale;
    }

    return NULL;
}


/* Eight bytes at once: nginx's own hash would cost more than all the rest. */

static ngx_uint_t
ngx_pinaud_named_hash(u_char *name, size_t len)
{
    uint64_t  hash, word;

    hash = len;

    for ( /* void */ ; len > sizeof(word); len -= sizeof(word)) {
        ngx_memcpy(&word, name, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 32;
        name += sizeof(word);
    }

    word = 0;
    ngx_memcpy(&word, name, len);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;

    return (ngx_uint_t) (hash >> 40);
}
