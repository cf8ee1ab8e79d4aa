
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the files of the status document share.
 */


#ifndef _NGX_PINAUD_STATUS_H_INCLUDED_
#define _NGX_PINAUD_STATUS_H_INCLUDED_


#include "ngx_pinaud_zone.h"


#pragma GCC visibility push(hidden)


/* A document that grows; "failed" is looked at once, at its end. */

typedef struct {
    ngx_pool_t              *pool;
    ngx_chain_t             *first;
    ngx_chain_t            **last;
    ngx_buf_t               *buf;
    off_t                    size;
    ngx_uint_t               failed;
} ngx_pinaud_text_t;


/* Adds a piece of at most 512 bytes, in nginx's formats. */
void ngx_cdecl ngx_pinaud_text_print(ngx_pinaud_text_t *text,
    const char *fmt, ...);

/* Adds bytes as they are, which are copied. */
void ngx_pinaud_text_add(ngx_pinaud_text_t *text, const u_char *p,
    size_t len);


/* The counters, and what may go on in an outage, as Prometheus reads them. */
void ngx_pinaud_status_prometheus(ngx_pinaud_text_t *text,
    ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_counters_t *counters,
    ngx_uint_t up);

/* The counters as a document, the caller's; NULL: no memory. */
json_t *ngx_pinaud_status_document(ngx_pinaud_counters_t *counters,
    ngx_uint_t up);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_STATUS_H_INCLUDED_ */
