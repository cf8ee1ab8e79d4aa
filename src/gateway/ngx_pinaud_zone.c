
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Counters that all workers share. They hold no pointers, so that they
 * survive a reload, and are counted in without a lock.
 */


#include "ngx_pinaud_zone.h"


#define NGX_PINAUD_SEEN_STEP  60           /* s */


/* A configuration's view of the zone, in the process's own memory. */

struct ngx_pinaud_zone_s {
    ngx_pinaud_counters_t  *counters;
    ngx_slab_pool_t        *shpool;
    ngx_atomic_uint_t       generation;    /* of the configuration */
};


static ngx_int_t ngx_pinaud_zone_init(ngx_shm_zone_t *shm_zone, void *data);
static void ngx_pinaud_zone_add_named(ngx_pinaud_zone_t *zone,
    ngx_pinaud_count_t *counts, ngx_uint_t n, const char *name);


const ngx_pinaud_bucket_t  ngx_pinaud_buckets[NGX_PINAUD_BUCKETS] = {
    { 500, "0.0005" },
    { 1000, "0.001" },
    { 2500, "0.0025" },
    { 5000, "0.005" },
    { 10000, "0.01" },
    { 25000, "0.025" },
    { 50000, "0.05" },
    { 100000, "0.1" },
    { 250000, "0.25" },
    { 500000, "0.5" },
    { 1000000, "1" }
};


const ngx_pinaud_outcome_e  ngx_pinaud_reports[NGX_PINAUD_REPORTS] = {
    NGX_PINAUD_INVALID,
    NGX_PINAUD_OVER_QUOTA
};


static const char  *ngx_pinaud_operation_names[NGX_PINAUD_OPERATIONS] = {
    [NGX_PINAUD_CREATE_CUSTOM] = "audiences/create_custom",
    [NGX_PINAUD_CREATE] = "audiences/create",
    [NGX_PINAUD_LIST] = "audiences/list",
    [NGX_PINAUD_GET] = "audiences/get",
    [NGX_PINAUD_OTHER] = "other"
};


static const char  *ngx_pinaud_outcome_names[NGX_PINAUD_OUTCOMES] = {
    [NGX_PINAUD_FORWARDED] = "forwarded",
    [NGX_PINAUD_DRY_RUN] = "dry_run",
    [NGX_PINAUD_INVALID] = "invalid",
    [NGX_PINAUD_UNAUTHENTICATED] = "unauthenticated",
    [NGX_PINAUD_FORBIDDEN] = "forbidden",
    [NGX_PINAUD_UNMATCHED] = "unmatched",
    [NGX_PINAUD_OVER_QUOTA] = "over_quota",
    [NGX_PINAUD_NOT_SENT] = "not_sent",
    [NGX_PINAUD_UNKNOWN] = "unknown",
    [NGX_PINAUD_NO_CREDENTIAL] = "no_credential",
    [NGX_PINAUD_STORE_DOWN] = "store_down",
    [NGX_PINAUD_ABANDONED] = "abandoned",
    [NGX_PINAUD_ERROR] = "error"
};


ngx_int_t
ngx_pinaud_zone_add(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf)
{
    size_t              min;
    ngx_str_t           name = ngx_string("pinaud");
    ngx_pinaud_zone_t  *zone;

    /* the pool's own head, its alignment and log_ctx take a page each */

    min = ngx_align(sizeof(ngx_pinaud_counters_t), ngx_pagesize)
          + 4 * ngx_pagesize;

    if (pmcf->zone_size < min) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pinaud_zone\" of %uz bytes is too small, "
                      "it must have at least %uzk",
                      pmcf->zone_size, (min + 1023) / 1024);
        return NGX_ERROR;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_pinaud_zone_t));
    if (zone == NULL) {
        return NGX_ERROR;
    }

    pmcf->zone = ngx_shared_memory_add(cf, &name, pmcf->zone_size,
                                       &ngx_pinaud_module);
    if (pmcf->zone == NULL) {
        return NGX_ERROR;
    }

    pmcf->zone->init = ngx_pinaud_zone_init;
    pmcf->zone->data = zone;

    return NGX_OK;
}


static ngx_int_t
ngx_pinaud_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_pinaud_zone_t  *old = data;

    size_t              len;
    ngx_pinaud_zone_t  *zone;

    zone = shm_zone->data;
    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (old) {
        zone->counters = old->counters;

    } else if (shm_zone->shm.exists) {
        zone->counters = zone->shpool->data;

    } else {
        zone->counters = ngx_slab_calloc(zone->shpool,
                                         sizeof(ngx_pinaud_counters_t));
        if (zone->counters == NULL) {
            return NGX_ERROR;
        }

        zone->shpool->data = zone->counters;

        len = sizeof(" in pinaud zone \"\"") + shm_zone->shm.name.len;

        zone->shpool->log_ctx = ngx_slab_alloc(zone->shpool, len);
        if (zone->shpool->log_ctx == NULL) {
            return NGX_ERROR;
        }

        ngx_sprintf(zone->shpool->log_ctx, " in pinaud zone \"%V\"%Z",
                    &shm_zone->shm.name);
    }

    zone->generation = ngx_atomic_fetch_add(&zone->counters->generation, 1)
                       + 1;

    return NGX_OK;
}


ngx_pinaud_zone_t *
ngx_pinaud_zone(ngx_pinaud_main_conf_t *pmcf)
{
    return pmcf->zone->data;
}


void
ngx_pinaud_zone_count(ngx_pinaud_zone_t *zone,
    ngx_pinaud_operation_e operation, ngx_pinaud_outcome_e outcome)
{
    (void) ngx_atomic_fetch_add(&zone->counters->requests[operation][outcome],
                                1);
}


void
ngx_pinaud_zone_would_refuse(ngx_pinaud_zone_t *zone,
    ngx_pinaud_outcome_e outcome)
{
    (void) ngx_atomic_fetch_add(&zone->counters->would_refuse[outcome], 1);
}


void
ngx_pinaud_zone_errors(ngx_pinaud_zone_t *zone,
    pinaud_audience_verdict_t *verdict)
{
    ngx_uint_t  i;

    for (i = 0; i < PINAUD_ERROR_CODES; i++) {

        if (verdict->counts[i]) {
            (void) ngx_atomic_fetch_add(&zone->counters->errors[i],
                                        verdict->counts[i]);
        }
    }
}


void
ngx_pinaud_zone_edits(ngx_pinaud_zone_t *zone,
    pinaud_audience_verdict_t *verdict)
{
    pinaud_edit_t  *edit;

    for (edit = verdict->edits; edit; edit = edit->next) {
        ngx_pinaud_zone_add_named(zone, zone->counters->edits,
                                  NGX_PINAUD_EDITS, edit->member);
    }
}


void
ngx_pinaud_zone_admission(ngx_pinaud_zone_t *zone, ngx_uint_t us)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_PINAUD_BUCKETS; i++) {
        if (us <= ngx_pinaud_buckets[i].us) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&zone->counters->admission[i], 1);
    (void) ngx_atomic_fetch_add(&zone->counters->admission_us, us);
}


void
ngx_pinaud_zone_response(ngx_pinaud_zone_t *zone, ngx_uint_t status)
{
    ngx_uint_t  i;

    if (status < NGX_PINAUD_STATUS_MIN
        || status >= NGX_PINAUD_STATUS_MIN + NGX_PINAUD_STATUSES)
    {
        return;
    }

    i = status - NGX_PINAUD_STATUS_MIN;

    (void) ngx_atomic_fetch_add(&zone->counters->responses[i], 1);
}


void
ngx_pinaud_zone_store(ngx_pinaud_zone_t *zone, ngx_uint_t up)
{
    zone->counters->workers[ngx_process_slot] = 2 * zone->generation
                                                + (up ? 1 : 0);
}


/*
 * A worker that died has its slot of ngx_processes[] taken by the one that
 * replaces it; those of another configuration are told by the generation.
 */

ngx_uint_t
ngx_pinaud_zone_up(ngx_pinaud_zone_t *zone)
{
    ngx_uint_t         i, up;
    ngx_atomic_uint_t  state;

    up = 0;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        state = zone->counters->workers[i];

        if (state == 2 * zone->generation) {
            return 0;
        }

        if (state == 2 * zone->generation + 1) {
            up = 1;
        }
    }

    return up;
}


void
ngx_pinaud_zone_store_error(ngx_pinaud_zone_t *zone, const char *reason)
{
    ngx_pinaud_zone_add_named(zone, zone->counters->store_errors,
                              NGX_PINAUD_STORE_ERRORS, reason);
}


/* What did not change is not written: all workers read it. */

void
ngx_pinaud_zone_learn(ngx_pinaud_zone_t *zone, ngx_str_t *name,
    ngx_pinaud_fact_e fact, uint64_t value)
{
    time_t                    now;
    ngx_pinaud_credential_t  *credential;

    credential = ngx_pinaud_zone_credential(zone, name);
    if (credential == NULL) {
        return;
    }

    now = ngx_time();

    if (credential->facts[fact] != value) {
        credential->facts[fact] = value;
    }

    if (now - (time_t) credential->named.seen >= NGX_PINAUD_SEEN_STEP) {
        credential->named.seen = now;
    }
}


uint64_t
ngx_pinaud_zone_fact(ngx_pinaud_zone_t *zone, ngx_str_t *name,
    ngx_pinaud_fact_e fact)
{
    ngx_pinaud_credential_t  *credential;

    credential = ngx_pinaud_zone_credential(zone, name);

    return credential ? credential->facts[fact] : 0;
}


ngx_pinaud_credential_t *
ngx_pinaud_zone_credential(ngx_pinaud_zone_t *zone, ngx_str_t *name)
{
    ngx_pinaud_table_t  table;

    table.entries = zone->counters->credentials;
    table.size = sizeof(ngx_pinaud_credential_t);
    table.n = NGX_PINAUD_CREDENTIALS;
    table.idle = NGX_PINAUD_CREDENTIAL_IDLE;

    return (ngx_pinaud_credential_t *)
               ngx_pinaud_named(zone->shpool, &table, name->data, name->len);
}


ngx_uint_t
ngx_pinaud_zone_in_use(ngx_pinaud_credential_t *credential)
{
    return credential->named.len
           && ngx_time() - (time_t) credential->named.seen
              < NGX_PINAUD_CREDENTIAL_IDLE;
}


ngx_pinaud_counters_t *
ngx_pinaud_zone_copy(ngx_pinaud_zone_t *zone, ngx_pool_t *pool)
{
    ngx_pinaud_counters_t  *copy;

    copy = ngx_palloc(pool, sizeof(ngx_pinaud_counters_t));
    if (copy == NULL) {
        return NULL;
    }

    /* no name changes meanwhile */

    ngx_shmtx_lock(&zone->shpool->mutex);
    ngx_memcpy(copy, zone->counters, sizeof(ngx_pinaud_counters_t));
    ngx_shmtx_unlock(&zone->shpool->mutex);

    return copy;
}


static void
ngx_pinaud_zone_add_named(ngx_pinaud_zone_t *zone, ngx_pinaud_count_t *counts,
    ngx_uint_t n, const char *name)
{
    ngx_pinaud_count_t  *count;
    ngx_pinaud_table_t   table;

    table.entries = counts;
    table.size = sizeof(ngx_pinaud_count_t);
    table.n = n;
    table.idle = 0;

    count = (ngx_pinaud_count_t *)
                ngx_pinaud_named(zone->shpool, &table, (u_char *) name,
                                 ngx_strlen(name));

    if (count) {
        (void) ngx_atomic_fetch_add(&count->value, 1);
    }
}


const char *
ngx_pinaud_operation_name(ngx_pinaud_operation_e operation)
{
    return ngx_pinaud_operation_names[operation];
}


const char *
ngx_pinaud_outcome_name(ngx_pinaud_outcome_e outcome)
{
    return ngx_pinaud_outcome_names[outcome];
}
