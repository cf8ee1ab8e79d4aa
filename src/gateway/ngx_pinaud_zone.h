
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What lies in the shared memory, for those who read it.
 */


#ifndef _NGX_PINAUD_ZONE_H_INCLUDED_
#define _NGX_PINAUD_ZONE_H_INCLUDED_


#include "ngx_pinaud.h"


#pragma GCC visibility push(hidden)


#define NGX_PINAUD_EDITS           128     /* more than the contract's labels */
#define NGX_PINAUD_STORE_ERRORS    64
#define NGX_PINAUD_CREDENTIALS     256

#define NGX_PINAUD_STATUS_MIN      100
#define NGX_PINAUD_STATUSES        500     /* 100 to 599 */

#define NGX_PINAUD_CREDENTIAL_IDLE  3600   /* s, then it is not shown */


/*
 * The head of what is known by name. Tables of these are read and counted in
 * without a lock; a name enters under the pool's mutex, its length last.
 */

typedef struct {
    ngx_atomic_t         len;              /* 0: free */
    ngx_atomic_t         seen;             /* s, where idle ones give way */
    u_char               name[PINAUD_NAME_MAX];
} ngx_pinaud_named_t;


typedef struct {
    void                *entries;          /* each begins with its name */
    size_t               size;             /* of one */
    ngx_uint_t           n;
    time_t               idle;             /* s, then one gives way where there
                                              is no room else; 0: none does */
} ngx_pinaud_table_t;


typedef struct {
    ngx_pinaud_named_t   named;
    ngx_atomic_t         value;
} ngx_pinaud_count_t;


typedef struct {
    ngx_pinaud_named_t   named;
    ngx_atomic_t         facts[NGX_PINAUD_FACTS];
} ngx_pinaud_credential_t;


typedef struct {
    ngx_atomic_t         requests[NGX_PINAUD_OPERATIONS][NGX_PINAUD_OUTCOMES];
    ngx_atomic_t         would_refuse[NGX_PINAUD_OUTCOMES];
    ngx_atomic_t         errors[PINAUD_ERROR_CODES];
    ngx_atomic_t         admission[NGX_PINAUD_BUCKETS + 1];
                                           /* each bucket's own; last: +Inf */
    ngx_atomic_t         admission_us;
    ngx_atomic_t         responses[NGX_PINAUD_STATUSES];

    /* by ngx_process_slot: the generation, twice, plus 1 when up */
    ngx_atomic_t         workers[NGX_MAX_PROCESSES];
    ngx_atomic_t         generation;       /* the last one made */

    ngx_pinaud_count_t   edits[NGX_PINAUD_EDITS];
    ngx_pinaud_count_t   store_errors[NGX_PINAUD_STORE_ERRORS];

    ngx_pinaud_credential_t  credentials[NGX_PINAUD_CREDENTIALS];
} ngx_pinaud_counters_t;


typedef struct {
    ngx_uint_t           us;
    const char          *le;               /* the same in seconds */
} ngx_pinaud_bucket_t;


extern const ngx_pinaud_bucket_t  ngx_pinaud_buckets[NGX_PINAUD_BUCKETS];

/* The outcomes that can be told and not enforced. */

#define NGX_PINAUD_REPORTS         2

extern const ngx_pinaud_outcome_e  ngx_pinaud_reports[NGX_PINAUD_REPORTS];


/*
 * The entry of a name, which is cut to PINAUD_NAME_MAX bytes; made of zeros,
 * under the pool's mutex, if there is none. NULL: no room, or no name.
 */
ngx_pinaud_named_t *ngx_pinaud_named(ngx_slab_pool_t *shpool,
    ngx_pinaud_table_t *table, u_char *name, size_t len);

/* A copy of all of it, in the pool; NULL: no memory. */
ngx_pinaud_counters_t *ngx_pinaud_zone_copy(ngx_pinaud_zone_t *zone,
    ngx_pool_t *pool);

/*
 * Whether the store is up: some worker of this configuration says so, and
 * none says that it is down.
 */
ngx_uint_t ngx_pinaud_zone_up(ngx_pinaud_zone_t *zone);

/* What is known of a credential, made if nothing is; NULL: no room. */
ngx_pinaud_credential_t *ngx_pinaud_zone_credential(ngx_pinaud_zone_t *zone,
    ngx_str_t *name);

/* Whether a credential is in use, so that what is known of it counts. */
ngx_uint_t ngx_pinaud_zone_in_use(ngx_pinaud_credential_t *credential);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_ZONE_H_INCLUDED_ */
