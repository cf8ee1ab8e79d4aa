
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Units held for an outage: how Redis is asked for them, and told which were
 * spent.
 */


#include "ngx_pinaud_lease.h"


#define NGX_PINAUD_LEASE_KEYS     9        /* of lease.lua */
#define NGX_PINAUD_LEASE_ARGS     (1 + NGX_PINAUD_LEASE_KEYS + 5)


/* A question under way: which lease it is about, and when it was sent. */

typedef struct {
    ngx_pinaud_main_conf_t   *conf;
    ngx_uint_t                lease;
    ngx_uint_t                serial;
    ngx_msec_t                sent;
    ngx_uint_t                back;        /* it returns the units */
} ngx_pinaud_lease_ask_t;


static void ngx_pinaud_lease_keys(ngx_pinaud_policy_t *policy, u_char *name,
    size_t name_len, char (*keys)[PINAUD_KEY_MAX], size_t *lens);
static u_char *ngx_pinaud_lease_spent(u_char *p, ngx_pinaud_lease_t *lease);
static void ngx_pinaud_lease_told(void *data, redisReply *reply);


void
ngx_pinaud_lease_ask(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_leases_t *leases, ngx_pinaud_lease_t *lease,
    ngx_pinaud_policy_t *policy)
{
    char                     keys[NGX_PINAUD_LEASE_KEYS][PINAUD_KEY_MAX];
    u_char                   name[NGX_PINAUD_LEASE_LIFE + NGX_INT64_LEN + 1],
                             reserved[NGX_INT64_LEN], deadline[NGX_INT64_LEN],
                             what[NGX_PINAUD_LEASE_SECONDS
                                  * 2 * (NGX_INT64_LEN + 1)], *p;
    size_t                   lens[NGX_PINAUD_LEASE_ARGS];
    ngx_uint_t               argc, back;
    const char              *args[NGX_PINAUD_LEASE_ARGS];
    ngx_pinaud_redis_t      *redis;
    ngx_pinaud_lease_ask_t  *ask;

    redis = pmcf->worker->redis;

    p = ngx_cpymem(name, leases->life, NGX_PINAUD_LEASE_LIFE);
    *p++ = '-';
    p = ngx_pinaud_digits(p, lease->serial);

    args[0] = "9";
    lens[0] = 1;

    ngx_pinaud_lease_keys(policy, name, p - name, keys, &lens[1]);

    for (argc = 1; argc <= NGX_PINAUD_LEASE_KEYS; argc++) {
        args[argc] = keys[argc - 1];
    }

    back = ngx_pinaud_lease_back(lease, pmcf->outage_allowance);

    args[argc] = back ? "return" : "hold";
    lens[argc] = ngx_strlen(args[argc]);
    argc++;

    args[argc] = (char *) policy->account_limits;
    lens[argc++] = policy->account_limits_len;
    args[argc] = (char *) reserved;
    lens[argc++] = ngx_pinaud_digits(reserved, policy->reserved) - reserved;

    args[argc] = (char *) what;
    p = back ? ngx_pinaud_lease_spent(what, lease)
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
                        ngx_pinaud_lease_told, ask)
        != NGX_OK)
    {
        ngx_free(ask);
    }
}


/* In the order in which lease.lua takes them. */

static void
ngx_pinaud_lease_keys(ngx_pinaud_policy_t *policy, u_char *name,
    size_t name_len, char (*keys)[PINAUD_KEY_MAX], size_t *lens)
{
    char    *credential, *account;
    size_t   len, account_len;

    credential = (char *) policy->credential;
    len = policy->credential_len;
    account = (char *) policy->account;
    account_len = policy->account_len;

    lens[0] = pinaud_key_credential(keys[0], credential, len);
    lens[1] = pinaud_key_calls(keys[1], credential, len);
    lens[2] = pinaud_key_writes(keys[2], credential, len);
    lens[3] = pinaud_key_account_bucket(keys[3], credential, len, account,
                                        account_len);
    lens[4] = pinaud_key_shared(keys[4], credential, len, account,
                                account_len);
    lens[5] = pinaud_key_leased_calls(keys[5], credential, len);
    lens[6] = pinaud_key_leased_writes(keys[6], credential, len);
    lens[7] = pinaud_key_leased(keys[7], credential, len, account,
                                account_len);
    lens[8] = pinaud_key_lease(keys[8], credential, len, account, account_len,
                               (char *) name, name_len);
}


/* "TIME COUNT" of each second, in Redis's time, at that second's end. */

static u_char *
ngx_pinaud_lease_spent(u_char *p, ngx_pinaud_lease_t *lease)
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
ngx_pinaud_lease_told(void *data, redisReply *reply)
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
