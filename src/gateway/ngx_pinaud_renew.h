
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The inside of renewals, for their two files: what a worker reads of a
 * credential's record, and who waits for a newer token.
 */


#ifndef _NGX_PINAUD_RENEW_H_INCLUDED_
#define _NGX_PINAUD_RENEW_H_INCLUDED_


#include "ngx_pinaud.h"


#pragma GCC visibility push(hidden)


#define NGX_PINAUD_RENEW_TELL  1000        /* ms until the same is told again */
#define NGX_PINAUD_RENEW_LOST  10000       /* ms until one is given up */


/* Why a newer token is wanted: a later one outweighs those before it. */

typedef enum {
    NGX_PINAUD_HOW_NONE = 0,
    NGX_PINAUD_HOW_REFUSED,                /* and never had another answer */
    NGX_PINAUD_HOW_WORKED,                 /* refused, but had worked before */
    NGX_PINAUD_HOW_EXPIRED
} ngx_pinaud_how_e;


struct ngx_pinaud_renewal_s {

    /* debug lines of the event read an ident behind three pointers */

    ngx_pinaud_main_conf_t   *conf;
    void                     *dummy;
    ngx_log_t                *log;
    ngx_int_t                 ident;

    ngx_event_t               event;       /* it is time to read */
    ngx_pinaud_call_t         call;        /* the read under way */
    ngx_pinaud_waiter_t       link;        /* or the wait for the link */
    ngx_queue_t               queue;
    ngx_queue_t               waiting;     /* of records' waiters */

    u_char                    data[PINAUD_NAME_MAX];
    ngx_str_t                 name;        /* of the credential */
    ngx_uint_t                slot;        /* of its keys */

    /* the record, as it was read last */
    ngx_msec_t                read;        /* when it was asked for */
    uint64_t                  version;
    time_t                    expires;     /* by Redis's clock; 0: not known */
    ngx_pinaud_state_e        state;       /* unknown: no such credential */

    /* more than this version is wanted, and what Redis was told */
    uint64_t                  wanted;
    ngx_pinaud_how_e          how;
    uint64_t                  told;
    ngx_pinaud_how_e          told_how;
    ngx_msec_t                told_at;

    /* a token that is not used, since a newer one was; 0: none */
    uint64_t                  older;
    ngx_msec_t                older_at;

    unsigned                  asking:1;
    unsigned                  holding:1;   /* the link, for those who wait */
};


/* record: what is read */

/* What is known of a policy's credential, made if nothing is; NULL: no room. */
ngx_pinaud_renewal_t *ngx_pinaud_renewal(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy);

/* Reads soon, while there is a reason to. */
void ngx_pinaud_renewal_schedule(ngx_pinaud_renewal_t *renewal);

/* Whether a newer token than that is there, and may be used. */
ngx_uint_t ngx_pinaud_renewal_newer(ngx_pinaud_renewal_t *renewal,
    uint64_t version);

/* Whether no agent will bring a newer token, but a person may. */
ngx_uint_t ngx_pinaud_renewal_dead(ngx_pinaud_renewal_t *renewal);


/* renew: what is wanted, and who waits */

/* Whether something is to be told that was not. */
ngx_uint_t ngx_pinaud_renew_untold(ngx_pinaud_renewal_t *renewal);

/* The record was read: tells what it does not have. */
void ngx_pinaud_renew_tell(ngx_pinaud_renewal_t *renewal);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_RENEW_H_INCLUDED_ */
