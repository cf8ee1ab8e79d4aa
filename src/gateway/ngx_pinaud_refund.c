
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Charges given back: of requests of which nothing was sent to Pinterest. One
 * whose answer does not come is sent again, as long as Redis remembers the
 * first: what it has not done by then it does not do later.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_REFUND_KEEP  60000      /* ms: how long a mark stands */


typedef struct {
    ngx_pinaud_kept_t           kept;      /* first */
    ngx_pinaud_policy_t        *policy;
    ngx_pinaud_charge_t         charge;
    int64_t                     deadline;  /* ms of Redis's time; 0: it was
                                              never sent */
} ngx_pinaud_refund_t;


static ngx_int_t ngx_pinaud_refund_send(ngx_pinaud_kept_t *kept,
    ngx_pinaud_main_conf_t *pmcf);
static void ngx_pinaud_refund_end(ngx_pinaud_kept_t *kept,
    ngx_pinaud_main_conf_t *pmcf, redisReply *reply);


void
ngx_pinaud_refund(ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_policy_t *policy,
    ngx_pinaud_charge_t *charge)
{
    ngx_pinaud_refund_t  *refund;

    if (charge->buckets == 0) {
        return;
    }

    refund = ngx_alloc(sizeof(ngx_pinaud_refund_t), ngx_cycle->log);

    if (refund == NULL) {
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), "refund");
        return;
    }

    refund->kept.send = ngx_pinaud_refund_send;
    refund->kept.end = ngx_pinaud_refund_end;
    refund->policy = policy;
    refund->charge = *charge;
    refund->deadline = 0;

    policy->cached.refs++;

    ngx_pinaud_keep(pmcf->worker->refunds, &refund->kept);
}


static ngx_int_t
ngx_pinaud_refund_send(ngx_pinaud_kept_t *kept, ngx_pinaud_main_conf_t *pmcf)
{
    char                     keys[NGX_PINAUD_KEYS][PINAUD_KEY_MAX], nkeys[2];
    u_char                   id[NGX_PINAUD_ID_LEN + 2], at[NGX_INT64_LEN],
                             keep[NGX_INT64_LEN], deadline[NGX_INT64_LEN];
    size_t                   lens[NGX_PINAUD_KEYS + 4], all[NGX_PINAUD_KEYS];
    int64_t                  now, until;
    ngx_int_t                rc;
    ngx_uint_t               argc, i, k;
    const char              *args[NGX_PINAUD_KEYS + 4];
    ngx_pinaud_charge_t     *charge;
    ngx_pinaud_policy_t     *policy;
    ngx_pinaud_refund_t     *refund;

    refund = (ngx_pinaud_refund_t *) kept;
    policy = refund->policy;
    charge = &refund->charge;

    now = ngx_pinaud_redis_now(pmcf->worker->redis, policy->slot);

    if (refund->deadline && now >= refund->deadline) {
        return NGX_ABORT;
    }

    /* of the keys, the first of which is no bucket, those that were charged */

    k = ngx_pinaud_command_keys(policy, charge->mode, keys, all);
    argc = 1;

    for (i = 1; i < k; i++) {

        if (charge->buckets & (1 << (i - 1))) {
            args[argc] = keys[i];
            lens[argc++] = all[i];
        }
    }

    /* a request is admitted anew after Pinterest's 401: that is its second */

    ngx_memcpy(id, charge->id, NGX_PINAUD_ID_LEN);
    id[NGX_PINAUD_ID_LEN] = '-';
    id[NGX_PINAUD_ID_LEN + 1] = charge->retried ? '2' : '1';

    args[argc] = keys[0];
    lens[argc++] = pinaud_key_refund(keys[0], (char *) policy->credential,
                                     policy->credential_len, (char *) id,
                                     sizeof(id));

    nkeys[0] = '0' + argc - 1;
    args[0] = nkeys;
    lens[0] = 1;

    until = refund->deadline ? refund->deadline
                             : now + NGX_PINAUD_REFUND_KEEP;

    args[argc] = (char *) at;
    lens[argc++] = ngx_pinaud_digits(at, charge->at) - at;
    args[argc] = (char *) keep;
    lens[argc++] = ngx_pinaud_digits(keep, NGX_PINAUD_REFUND_KEEP) - keep;
    args[argc] = (char *) deadline;
    lens[argc++] = ngx_pinaud_digits(deadline, until) - deadline;

    rc = ngx_pinaud_tell(pmcf->worker->redis, &pmcf->refund, argc, args, lens,
                         ngx_pinaud_keep_told, refund);

    if (rc == NGX_OK) {
        refund->deadline = until;
    }

    return rc;
}


/* Where it is given up the charge stays, which lets nothing extra through. */

static void
ngx_pinaud_refund_end(ngx_pinaud_kept_t *kept, ngx_pinaud_main_conf_t *pmcf,
    redisReply *reply)
{
    ngx_pinaud_refund_t  *refund;

    refund = (ngx_pinaud_refund_t *) kept;

    if (reply == NULL) {
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), "refund");
    }

    ngx_pinaud_policy_release(refund->policy);
    ngx_free(refund);
}
