
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What is known of units held for an outage: a table that all workers share,
 * in shared memory.
 */


#ifndef _NGX_PINAUD_LEASE_H_INCLUDED_
#define _NGX_PINAUD_LEASE_H_INCLUDED_


#include "ngx_pinaud.h"


#pragma GCC visibility push(hidden)


#define NGX_PINAUD_LEASES         512      /* accounts at once */
#define NGX_PINAUD_LEASE_TEAMS    16       /* of an account, at once */
#define NGX_PINAUD_LEASE_TOKENS   64       /* credentials at once */
#define NGX_PINAUD_LEASE_SECONDS  60       /* LEASE_S of lease.lua */
#define NGX_PINAUD_LEASE_LIFE     16       /* hex digits */


typedef struct {
    u_char                    name[PINAUD_NAME_MAX];
    size_t                    len;
} ngx_pinaud_lease_team_t;


typedef struct {
    u_char                    account[PINAUD_ACCOUNT_MAX];
    size_t                    account_len;
    u_char                    credential[PINAUD_NAME_MAX];
    size_t                    credential_len;

    ngx_pinaud_lease_team_t   teams[NGX_PINAUD_LEASE_TEAMS];
                                           /* that were admitted last */
    ngx_uint_t                next_team;

    ngx_uint_t                serial;      /* grows with each return */
    ngx_uint_t                units;
    ngx_uint_t                spent;
    ngx_uint_t                seconds[NGX_PINAUD_LEASE_SECONDS];
                                           /* spent in each since "taken" */
    ngx_msec_t                taken;       /* when the units were asked for */
    int64_t                   now;         /* Redis's time then, ms */
    ngx_msec_t                asked;       /* the last question */
    unsigned                  known:1;
    unsigned                  returning:1; /* nothing is spent any more */
} ngx_pinaud_lease_t;


typedef struct {
    u_char                    credential[PINAUD_NAME_MAX];
    size_t                    credential_len;
    uint64_t                  version;
    time_t                    expires;     /* by Redis's clock; 0: not known */
    size_t                    len;
    u_char                    sealed[NGX_PINAUD_SEALED_MAX];
} ngx_pinaud_lease_token_t;


typedef struct {
    u_char                    life[NGX_PINAUD_LEASE_LIFE];
    ngx_pinaud_lease_t        leases[NGX_PINAUD_LEASES];
    ngx_pinaud_lease_token_t  tokens[NGX_PINAUD_LEASE_TOKENS];
    ngx_uint_t                next_token;
    ngx_atomic_t              requests;
} ngx_pinaud_leases_t;


/* All that follow are called between these two. */
ngx_pinaud_leases_t *ngx_pinaud_lease_lock(ngx_pinaud_main_conf_t *pmcf);
void ngx_pinaud_lease_unlock(ngx_pinaud_main_conf_t *pmcf);

/*
 * An account's lease. To make one where there is none, a dead one gives way;
 * NULL: there is none.
 */
ngx_pinaud_lease_t *ngx_pinaud_lease_find(ngx_pinaud_leases_t *leases,
    ngx_pinaud_policy_t *policy, ngx_uint_t make);

/*
 * What another worker of this gateway read of an account and a team, for one
 * that has not, is put into the policy; the credential is the lease's. NULL:
 * nobody has.
 */
ngx_pinaud_lease_t *ngx_pinaud_lease_learn(ngx_pinaud_leases_t *leases,
    ngx_pinaud_policy_t *policy);

/*
 * NGX_OK: the policy's team was admitted to the account. Else it is noted, if
 * so told.
 */
ngx_int_t ngx_pinaud_lease_team_of(ngx_pinaud_lease_t *lease,
    ngx_pinaud_policy_t *policy, ngx_uint_t note);

/* The place of the credential's token; NULL: there is none. */
ngx_pinaud_lease_token_t *ngx_pinaud_lease_token_of(
    ngx_pinaud_leases_t *leases, ngx_pinaud_policy_t *policy,
    ngx_uint_t make);

/* Units that may be spent of it now, with this allowance. */
ngx_uint_t ngx_pinaud_lease_left(ngx_pinaud_lease_t *lease,
    ngx_uint_t allowance);

/*
 * Whether it is to be returned: some were spent, or they are more than may be
 * since a reload.
 */
ngx_uint_t ngx_pinaud_lease_back(ngx_pinaud_lease_t *lease,
    ngx_uint_t allowance);

/*
 * Asks Redis for units, or returns them where they are not those that it may
 * have. The answer, if one comes, changes the lease that it is about.
 */
void ngx_pinaud_lease_ask(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_leases_t *leases, ngx_pinaud_lease_t *lease,
    ngx_pinaud_policy_t *policy);

/* Whether its units may still be spent, by this host's monotonic clock. */
ngx_uint_t ngx_pinaud_lease_live(ngx_pinaud_lease_t *lease);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_LEASE_H_INCLUDED_ */
