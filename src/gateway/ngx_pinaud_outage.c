
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The bounded outage. With pinaud_outage_allowance a gateway holds units that
 * are charged beforehand for the accounts that it serves, and goes on with
 * them, and with the last token it saw (sealed), while it can't reach Redis:
 * so what passes is known, and keeps to every limit. All workers share them.
 */


#include "ngx_pinaud_lease.h"


#define NGX_PINAUD_LEASE_RENEW    20000    /* ms: a third of their life */
#define NGX_PINAUD_LEASE_ASK      1000     /* ms between two questions */


static ngx_int_t ngx_pinaud_outage_may(ngx_pinaud_record_t *record,
    ngx_pinaud_main_conf_t *pmcf);
static size_t ngx_pinaud_outage_take(ngx_pinaud_record_t *record,
    ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_leases_t *leases, u_char *sealed,
    time_t *cooldown);
static ngx_uint_t ngx_pinaud_outage_stopped(ngx_pinaud_policy_t *policy);
static void ngx_pinaud_outage_hold(ngx_pinaud_record_t *record, time_t left);


/*
 * A write was admitted: its account's units are taken, or renewed, when it is
 * time, and the token is kept. A worker looks once a second.
 */

void
ngx_pinaud_outage_admitted(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_reply_t *reply)
{
    ngx_msec_t                 age;
    ngx_pinaud_lease_t        *lease;
    ngx_pinaud_leases_t       *leases;
    ngx_pinaud_lease_token_t  *token;

    if (pmcf->outage == NULL
        || reply->sealed->len > NGX_PINAUD_SEALED_MAX
        || (policy->leased
            && ngx_current_msec - policy->leased < NGX_PINAUD_LEASE_ASK))
    {
        return;
    }

    policy->leased = ngx_current_msec;

    /* Redis knows of no cooldown: none that it was told, or it was cleared */

    ngx_pinaud_cooldown_known(pmcf, policy, 0);

    leases = ngx_pinaud_lease_lock(pmcf);

    token = ngx_pinaud_lease_token_of(leases, policy, 1);

    token->version = reply->version;
    token->expires = reply->expires;
    token->len = reply->sealed->len;
    ngx_memcpy(token->sealed, reply->sealed->str, reply->sealed->len);

    lease = ngx_pinaud_lease_find(leases, policy, 1);

    if (lease) {
        ngx_pinaud_lease_team_of(lease, policy, 1);

        age = ngx_current_msec - lease->taken;

        if ((ngx_pinaud_lease_back(lease, pmcf->outage_allowance)
             || !ngx_pinaud_lease_live(lease)
             || age >= NGX_PINAUD_LEASE_RENEW)
            && (lease->asked == 0
                || ngx_current_msec - lease->asked >= NGX_PINAUD_LEASE_ASK))
        {
            ngx_pinaud_lease_ask(pmcf, leases, lease, policy);
        }
    }

    ngx_pinaud_lease_unlock(pmcf);
}


ngx_int_t
ngx_pinaud_outage_spend(ngx_pinaud_record_t *record)
{
    size_t                   len;
    u_char                   sealed[NGX_PINAUD_SEALED_MAX];
    time_t                   cooldown;
    ngx_pinaud_leases_t     *leases;
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = ngx_pinaud_main_conf(record);

    if (pmcf->outage == NULL || ngx_pinaud_outage_may(record, pmcf) != NGX_OK) {
        return NGX_DECLINED;
    }

    leases = ngx_pinaud_lease_lock(pmcf);
    len = ngx_pinaud_outage_take(record, pmcf, leases, sealed, &cooldown);
    ngx_pinaud_lease_unlock(pmcf);

    if (cooldown) {
        ngx_pinaud_outage_hold(record, cooldown);
        return NGX_OK;
    }

    if (len == 0) {
        return NGX_DECLINED;
    }

    record->leased = 1;

    if (ngx_pinaud_verdict_token(record, sealed, len) != NGX_OK) {
        ngx_pinaud_outage_unspend(record);
        return NGX_DECLINED;
    }

    if (record->dry_run) {

        /* it tells what the call would get, and takes nothing from it */

        ngx_pinaud_outage_unspend(record);

    } else {
        (void) ngx_atomic_fetch_add(&leases->requests, 1);
    }

    record->verdict = NGX_PINAUD_ADMITTED;
    record->nlimits = 0;

    return NGX_OK;
}


/*
 * Who may have a unit at all: known by what was read last, however old that is
 * by now.
 */

static ngx_int_t
ngx_pinaud_outage_may(ngx_pinaud_record_t *record,
    ngx_pinaud_main_conf_t *pmcf)
{
    ngx_pinaud_policy_t  *policy;

    if (!record->write || record->retried || !ngx_pinaud_caller_lately(record))
    {
        return NGX_DECLINED;
    }

    if (record->policy == NULL) {
        record->policy = ngx_pinaud_policy_get(pmcf->worker->policies,
                                               &record->account,
                                               &record->team);
    }

    policy = record->policy;

    if (policy == NULL || policy->cached.unreadable
        || (policy->loaded && !policy->allowed)
        || ngx_pinaud_outage_stopped(policy))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * Takes a unit, and copies the token, sealed; the result is its length. 0: no
 * unit was taken, and where that is for the credential's cooldown, that is what
 * is left of it, in seconds. Called under the lock of leases.
 */

static size_t
ngx_pinaud_outage_take(ngx_pinaud_record_t *record,
    ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_leases_t *leases, u_char *sealed,
    time_t *cooldown)
{
    int64_t                    now;
    ngx_msec_t                 age;
    ngx_pinaud_lease_t        *lease;
    ngx_pinaud_policy_t       *policy;
    ngx_pinaud_lease_token_t  *token;

    *cooldown = 0;
    policy = record->policy;

    lease = policy->loaded ? ngx_pinaud_lease_find(leases, policy, 0)
                           : ngx_pinaud_lease_learn(leases, policy);
    token = ngx_pinaud_lease_token_of(leases, policy, 0);

    if (lease == NULL || token == NULL
        || ngx_pinaud_lease_left(lease, pmcf->outage_allowance) == 0)
    {
        return 0;
    }

    if (!record->report) {
        *cooldown = ngx_pinaud_cooldown_left(pmcf, policy);
    }

    age = ngx_current_msec - lease->taken;
    now = lease->now + age;

    if (*cooldown
        || (token->expires && now >= (int64_t) token->expires * 1000))
    {
        return 0;
    }

    lease->spent++;
    lease->seconds[age / 1000]++;

    record->lease = lease - leases->leases;
    record->lease_serial = lease->serial;
    record->lease_second = age / 1000;
    record->version = token->version;

    ngx_memcpy(sealed, token->sealed, token->len);

    return token->len;
}


/* A team whose limit is 0 is stopped: units are not for it. */

static ngx_uint_t
ngx_pinaud_outage_stopped(ngx_pinaud_policy_t *policy)
{
    u_char  *limits;
    size_t   len;

    limits = policy->team_limits;
    len = policy->team_limits_len;

    return (len > 1 && ngx_strncmp(limits, "0/", 2) == 0)
           || ngx_strnstr(limits, " 0/", len) != NULL;
}


/* Refuses it as Redis would, for Pinterest's own limit. */

static void
ngx_pinaud_outage_hold(ngx_pinaud_record_t *record, time_t left)
{
    ngx_memzero(record->limits, sizeof(ngx_pinaud_limit_t));

    record->limits[0].bucket = NGX_PINAUD_COOLDOWN;
    record->limits[0].violated = 1;
    record->limits[0].reset = left * 1000;

    record->nlimits = 1;
    record->verdict = NGX_PINAUD_REFUSED_QUOTA;
}


/* Nothing was sent of a request that had a unit: it may be spent again. */

void
ngx_pinaud_outage_unspend(ngx_pinaud_record_t *record)
{
    ngx_pinaud_lease_t      *lease;
    ngx_pinaud_leases_t     *leases;
    ngx_pinaud_main_conf_t  *pmcf;

    if (!record->leased) {
        return;
    }

    record->leased = 0;

    pmcf = ngx_pinaud_main_conf(record);
    leases = ngx_pinaud_lease_lock(pmcf);
    lease = &leases->leases[record->lease];

    if (lease->serial == record->lease_serial
        && lease->seconds[record->lease_second])
    {
        lease->seconds[record->lease_second]--;
        lease->spent--;
    }

    ngx_pinaud_lease_unlock(pmcf);
}


/* What may pass without Redis from now on, and what did. */

void
ngx_pinaud_outage_count(ngx_pinaud_main_conf_t *pmcf, ngx_uint_t *held,
    ngx_uint_t *requests)
{
    ngx_uint_t            i;
    ngx_pinaud_leases_t  *leases;

    *held = 0;
    *requests = 0;

    if (pmcf->outage == NULL) {
        return;
    }

    leases = ngx_pinaud_lease_lock(pmcf);

    for (i = 0; i < NGX_PINAUD_LEASES; i++) {
        *held += ngx_pinaud_lease_left(&leases->leases[i],
                                       pmcf->outage_allowance);
    }

    ngx_pinaud_lease_unlock(pmcf);

    *requests = leases->requests;
}
