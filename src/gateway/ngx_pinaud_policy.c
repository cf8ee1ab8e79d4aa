
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a worker knows of accounts and their teams, in a cache: unknown
 * accounts and foreign teams, too.
 */


#include "ngx_pinaud.h"
#include "pinaud_contract.h"


/* what the path may tell has to fit into what is kept of it */

#if (PINAUD_ACCOUNT_ID > PINAUD_ACCOUNT_MAX)
#error "an account's id of the path does not fit into a policy"
#endif


ngx_pinaud_policy_t *
ngx_pinaud_policy_get(ngx_pinaud_cache_t *policies, ngx_str_t *account,
    ngx_str_t *team)
{
    u_char               *p, text[NGX_PINAUD_CACHE_KEY];
    ngx_str_t             key;
    ngx_pinaud_policy_t  *policy;

    p = ngx_cpymem(text, account->data, account->len);
    *p++ = ' ';
    p = ngx_cpymem(p, team->data, team->len);

    key.data = text;
    key.len = p - text;

    policy = (ngx_pinaud_policy_t *) ngx_pinaud_cache_get(policies, &key);

    if (policy && policy->account_len == 0) {
        ngx_pinaud_policy_name(policy, account, team);
    }

    return policy;
}


void
ngx_pinaud_policy_name(ngx_pinaud_policy_t *policy, ngx_str_t *account,
    ngx_str_t *team)
{
    policy->account_len = account->len;
    ngx_memcpy(policy->account, account->data, account->len);
    policy->team_len = team->len;
    ngx_memcpy(policy->team, team->data, team->len);
}


uint64_t
ngx_pinaud_policy_fact(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_fact_e fact)
{
    ngx_str_t  name;

    name.data = policy->credential;
    name.len = policy->credential_len;

    return ngx_pinaud_zone_fact(ngx_pinaud_zone(pmcf), &name, fact);
}


void
ngx_pinaud_policy_learn(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_fact_e fact, uint64_t value)
{
    ngx_str_t  name;

    name.data = policy->credential;
    name.len = policy->credential_len;

    ngx_pinaud_zone_learn(ngx_pinaud_zone(pmcf), &name, fact, value);
}


void
ngx_pinaud_policy_release(ngx_pinaud_policy_t *policy)
{
    ngx_pinaud_cache_release(&policy->cached);
}


void
ngx_pinaud_policy_free(ngx_pinaud_cached_t *cached)
{
    ngx_uint_t            i;
    ngx_pinaud_policy_t  *policy;

    policy = (ngx_pinaud_policy_t *) cached;

    for (i = 0; i < NGX_PINAUD_MODES; i++) {

        if (policy->commands[i].data) {
            ngx_free(policy->commands[i].data);
        }
    }

    for (i = 0; i < 2; i++) {
        ngx_pinaud_turn_release(policy->turns[i]);
    }
}
