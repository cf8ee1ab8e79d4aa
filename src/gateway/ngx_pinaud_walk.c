
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Walks over nginx's lists of fields.
 */


#include "ngx_pinaud.h"


void
ngx_pinaud_walk(ngx_pinaud_walk_t *walk, ngx_list_t *fields)
{
    walk->part = &fields->part;
    walk->i = 0;
}


ngx_table_elt_t *
ngx_pinaud_walk_next(ngx_pinaud_walk_t *walk)
{
    ngx_table_elt_t  *h;

    while (walk->i >= walk->part->nelts) {

        if (walk->part->next == NULL) {
            return NULL;
        }

        walk->part = walk->part->next;
        walk->i = 0;
    }

    h = walk->part->elts;

    return &h[walk->i++];
}


ngx_uint_t
ngx_pinaud_walk_is(ngx_table_elt_t *h, const char *name, size_t len)
{
    return h->key.len == len && ngx_pinaud_alike(h->key.data, name, len);
}


/* Most are spelled just so, which is known at once. */

ngx_uint_t
ngx_pinaud_alike(u_char *text, const char *word, size_t len)
{
    return ngx_memcmp(text, word, len) == 0
           || ngx_strncasecmp(text, (u_char *) word, len) == 0;
}
