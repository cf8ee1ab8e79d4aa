
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


/* A question under way: which lease it is about, and when it was sent. */

typedef struct {
    ngx_pinaud_main_conf_t   *conf;
    ngx_uint_t                lease;
    ngx_uint_t                serial;
    ngx_msec_t                sent;
    ngx_uint_t                back;        /* it returns the units */
} ngx_pinaud_lease_ask_t;


static void ngx_pinaud_outage_ask(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_leases_t *leases, ngx_pinaud_lease_t *lease,
    ngx_pinaud_policy_t *policy);
static ngx_uint_t ngx_pinaud_outage_stopped(ngx_pinaud_policy_t *policy);
static void ngx_pinaud_outage_hold(ngx_pinaud_record_t *record, time_t left);
static u_char *ngx_pinaud_outage_spent(u_char *p, ngx_pinaud_lease_t *lease);
static void ngx_pinaud_outage_told(void *data, redisReply *reply);


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
            ngx_pinaud_outage_ask(pmcf, leases, lease, policy);
        }
    }

    ngx_pinaud_lease_unlock(pmcf);
}


ngx_int_t
ngx_pinaud_outage_spend(ngx_pinaud_record_t *record)
{
    size_t                     len;
    u_char                     sealed[NGX_PINAUD_SEALED_MAX];
    time_t                     cooldown;
    int64_t                    now;
    ngx_msec_t                 age;
    ngx_pinaud_lease_t        *lease;
    ngx_pinaud_leases_t       *leases;
    ngx_pinaud_policy_t       *policy;
    ngx_pinaud_main_conf_t    *pmcf;
    ngx_pinaud_lease_token_t  *token;

    pmcf = ngx_pinaud_main_conf(record);

    if (pmcf->outage == NULL || !record->write || record->retried
        || !ngx_pinaud_caller_lately(record))
    {
        return NGX_DECLINED;
    }

    if (record->policy == NULL) {
        record->policy = ngx_pinaud_policy_get(pmcf->worker->policies,
                                               &record->account,
                                               &record->team);
    }

    policy = record->policy;

    /* who may is known by what was read last, however old that is by now */

    if (policy == NULL || policy->cached.unreadable
        || (policy->loaded && !policy->allowed)
        || ngx_pinaud_outage_stopped(policy))
    {
        return NGX_DECLINED;
    }

    len = 0;
    cooldown = 0;

    leases = ngx_pinaud_lease_lock(pmcf);

    lease = policy->loaded ? ngx_pinaud_lease_find(leases, policy, 0)
                           : ngx_pinaud_lease_learn(leases, policy);
    token = ngx_pinaud_lease_token_of(leases, policy, 0);

    if (lease && token
        && ngx_pinaud_lease_left(lease, pmcf->outage_allowance))
    {
        age = ngx_current_msec - lease->taken;
        now = lease->now + age;

        if (!record->report) {
            cooldown = ngx_pinaud_cooldown_left(pmcf, policy);
        }

        if (cooldown == 0
            && (token->expires == 0 || now < (int64_t) token->expires * 1000))
        {
            lease->spent++;
            lease->seconds[age / 1000]++;

            record->lease = lease - leases->leases;
            record->lease_serial = lease->serial;
            record->lease_second = age / 1000;

            record->version = token->version;
            len = token->len;
            ngx_memcpy(sealed, token->sealed, len);
        }
    }

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

    record->limits[0].bucket = 'p';
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


/* Asks for units, or returns them where they are not those that it may have. */

static void
ngx_pinaud_outage_ask(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_leases_t *leases, ngx_pinaud_lease_t *lease,
    ngx_pinaud_policy_t *policy)
{
    char                     keys[9][PINAUD_KEY_MAX], *credential, *account;
    u_char                   name[NGX_PINAUD_LEASE_LIFE + NGX_INT64_LEN + 1],
                             reserved[NGX_INT64_LEN], deadline[NGX_INT64_LEN],
                             what[NGX_PINAUD_LEASE_SECONDS
                                  * 2 * (NGX_INT64_LEN + 1)], *p;
    size_t                   lens[15], len, account_len;
    ngx_uint_t               argc, back, i;
    const char              *args[15];
    ngx_pinaud_redis_t      *redis;
    ngx_pinaud_lease_ask_t  *ask;

    redis = pmcf->worker->redis;

    credential = (char *) policy->credential;
    len = policy->credential_len;
    account = (char *) policy->account;
    account_len = policy->account_len;

    p = ngx_cpymem(name, leases->life, NGX_PINAUD_LEASE_LIFE);
    *p++ = '-';
    p = ngx_pinaud_digits(p, lease->serial);

    lens[1] = pinaud_key_credential(keys[0], credential, len);
    lens[2] = pinaud_key_calls(keys[1], credential, len);
    lens[3] = pinaud_key_writes(keys[2], credential, len);
    lens[4] = pinaud_key_account_bucket(keys[3], credential, len, account,
                                        account_len);
    lens[5] = pinaud_key_shared(keys[4], credential, len, account,
                                account_len);
    lens[6] = pinaud_key_leased_calls(keys[5], credential, len);
    lens[7] = pinaud_key_leased_writes(keys[6], credential, len);
    lens[8] = pinaud_key_leased(keys[7], credential, len, account,
                                account_len);
    lens[9] = pinaud_key_lease(keys[8], credential, len, account, account_len,
                               (char *) name, p - name);

    args[0] = "9";
    lens[0] = 1;

    for (i = 0; i < 9; i++) {
        args[1 + i] = keys[i];
    }

    back = ngx_pinaud_lease_back(lease, pmcf->outage_allowance);

    argc = 10;
    args[argc] = back ? "return" : "hold";
    lens[argc] = ngx_strlen(args[argc]);
    argc++;

    args[argc] = (char *) policy->account_limits;
    lens[argc++] = policy->account_limits_len;
    args[argc] = (char *) reserved;
    lens[argc++] = ngx_pinaud_digits(reserved, policy->reserved) - reserved;

    args[argc] = (char *) what;
    p = back ? ngx_pinaud_outage_spent(what, lease)
             : ngx_pinaud_digits(what, pmcf->outage_allowance);
    lens[argc++] = p - what;

    args[argc] = (char *) deadline;
    lens[argc++] = ngx_pinaud_digits(deadline,
                                     ngx_pinaud_redis_now(redis, policy->slot)
                                     + pmcf->store.timeout)
                   - deadline;

    ask = ngx_alloc(sizeof(ngx_pinaud_lease_ask_t), ngx_cycle->log);
    if (ask == NULL) {
        return;
    }

    ask->conf = pmcf;
    ask->lease = lease - leases->leases;
    ask->serial = lease->serial;
    ask->sent = ngx_current_msec;
    ask->back = back;

    lease->asked = ngx_current_msec;

    /* whether or not the answer comes: Redis may free what was not spent */

    lease->returning = ask->back;

    if (ngx_pinaud_tell(redis, &pmcf->lease, argc, args, lens,
                        ngx_pinaud_outage_told, ask)
        != NGX_OK)
    {
        ngx_free(ask);
    }
}


/* "TIME COUNT" of each second, in Redis's time, at that second's end. */

static u_char *
ngx_pinaud_outage_spent(u_char *p, ngx_pinaud_lease_t *lease)
{
    u_char      *first;
    ngx_uint_t   i;

    first = p;

    for (i = 0; i < NGX_PINAUD_LEASE_SECONDS; i++) {

        if (lease->seconds[i] == 0) {
            continue;
        }

        if (p != first) {
            *p++ = ' ';
        }

        p = ngx_pinaud_digits(p, lease->now + (i + 1) * 1000);
        *p++ = ' ';
        p = ngx_pinaud_digits(p, lease->seconds[i]);
    }

    return p;
}


static void
ngx_pinaud_outage_told(void *data, redisReply *reply)
{
    int64_t                  units, now;
    ngx_pinaud_lease_t      *lease;
    ngx_pinaud_leases_t     *leases;
    ngx_pinaud_lease_ask_t  *ask;

    ask = data;

    leases = ngx_pinaud_lease_lock(ask->conf);
    lease = &leases->leases[ask->lease];

    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2
        && reply->element[0]->type == REDIS_REPLY_INTEGER
        && reply->element[1]->type == REDIS_REPLY_INTEGER
        && lease->serial == ask->serial)
    {
        units = reply->element[0]->integer;
        now = reply->element[1]->integer;

        if (ask->back) {
            lease->serial++;
            lease->returning = 0;
            lease->units = 0;
            lease->spent = 0;
            ngx_memzero(lease->seconds, sizeof(lease->seconds));

        } else if (units > 0 && lease->spent == 0
                   && ngx_pinaud_redis_clock_valid(now))
        {
            lease->units = units;
            lease->taken = ask->sent;
            lease->now = now;
        }
    }

    ngx_pinaud_lease_unlock(ask->conf);
    ngx_free(ask);
}
