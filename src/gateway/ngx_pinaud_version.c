
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Versions of tokens that only go forward: a record that is older than one
 * that was used already, whose token has not expired, is not used. Somebody
 * put it back, or Redis lost what came after it.
 */


#include "ngx_pinaud_zone.h"


static void ngx_pinaud_version_tell(ngx_pinaud_credential_t *credential,
    ngx_pinaud_policy_t *policy, ngx_pinaud_reply_t *reply);


/*
 * Scripts run one after another by one clock, so that a reply made before the
 * newer version was met is only late: workers do not read in that order.
 */

void
ngx_pinaud_version_check(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_reply_t *reply)
{
    ngx_str_t                 name;
    ngx_atomic_t             *facts;
    ngx_atomic_uint_t         expires;
    ngx_pinaud_credential_t  *credential;

    name.data = policy->credential;
    name.len = policy->credential_len;

    credential = ngx_pinaud_zone_credential(ngx_pinaud_zone(pmcf), &name);

    if (credential == NULL) {
        return;
    }

    facts = credential->facts;
    reply->used = facts[NGX_PINAUD_FACT_USED];

    ngx_memory_barrier();

    if (reply->version >= reply->used) {
        reply->newer = reply->version != reply->used
                       || (ngx_atomic_uint_t) reply->expires
                          != facts[NGX_PINAUD_FACT_USED_EXPIRES];
        return;
    }

    if ((ngx_atomic_uint_t) reply->now <= facts[NGX_PINAUD_FACT_USED_AT]) {
        return;
    }

    expires = facts[NGX_PINAUD_FACT_USED_EXPIRES];

    if (expires != 0 && expires <= (ngx_atomic_uint_t) reply->now / 1000) {
        reply->newer = 1;
        return;
    }

    reply->older = 1;
    ngx_pinaud_version_tell(credential, policy, reply);
}


/* The version last: who sees it has to find what belongs to it. */

void
ngx_pinaud_version_used(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_reply_t *reply)
{
    ngx_pinaud_policy_learn(pmcf, policy, NGX_PINAUD_FACT_USED_EXPIRES,
                            reply->expires);
    ngx_pinaud_policy_learn(pmcf, policy, NGX_PINAUD_FACT_USED_AT,
                            reply->now);

    ngx_memory_barrier();

    ngx_pinaud_policy_learn(pmcf, policy, NGX_PINAUD_FACT_USED,
                            reply->version);
}


/* Once for each that is refused, by whichever worker meets it first. */

static void
ngx_pinaud_version_tell(ngx_pinaud_credential_t *credential,
    ngx_pinaud_policy_t *policy, ngx_pinaud_reply_t *reply)
{
    ngx_atomic_t       *told;
    ngx_atomic_uint_t   before;

    told = &credential->facts[NGX_PINAUD_FACT_OLDER];
    before = *told;

    /* 0 is that nothing was told */

    if (before == reply->version + 1
        || !ngx_atomic_cmp_set(told, before, reply->version + 1))
    {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "pinaud: access token of credential \"%*s\" is not used: "
                  "it is of version %uL, and version %uL was used already",
                  policy->credential_len, policy->credential,
                  reply->version, reply->used);
}
