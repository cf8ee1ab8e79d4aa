
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The table of units held for an outage: by account and credential, with the
 * teams and the tokens that may go with them.
 */


#include "ngx_pinaud_lease.h"


static ngx_int_t ngx_pinaud_lease_init(ngx_shm_zone_t *shm_zone, void *data);


ngx_int_t
ngx_pinaud_lease_add(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf)
{
    ngx_str_t  name = ngx_string("pinaud_outage");

    if (pmcf->outage_allowance == 0) {
        return NGX_OK;
    }

    pmcf->outage = ngx_shared_memory_add(cf, &name,
                       ngx_align(sizeof(ngx_pinaud_leases_t), ngx_pagesize)
                       + 8 * ngx_pagesize, &ngx_pinaud_module);
    if (pmcf->outage == NULL) {
        return NGX_ERROR;
    }

    pmcf->outage->init = ngx_pinaud_lease_init;

    return NGX_OK;
}


static ngx_int_t
ngx_pinaud_lease_init(ngx_shm_zone_t *shm_zone, void *data)
{
    u_char                random[NGX_PINAUD_LEASE_LIFE / 2];
    ngx_slab_pool_t      *shpool;
    ngx_pinaud_leases_t  *leases;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        shm_zone->data = shpool->data;
        return NGX_OK;
    }

    leases = ngx_slab_calloc(shpool, sizeof(ngx_pinaud_leases_t));

    if (leases == NULL || RAND_bytes(random, sizeof(random)) != 1) {
        return NGX_ERROR;
    }

    ngx_hex_dump(leases->life, random, sizeof(random));

    shpool->data = leases;
    shm_zone->data = leases;

    return NGX_OK;
}


ngx_pinaud_leases_t *
ngx_pinaud_lease_lock(ngx_pinaud_main_conf_t *pmcf)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) pmcf->outage->shm.addr;
    ngx_shmtx_lock(&shpool->mutex);

    return pmcf->outage->data;
}


void
ngx_pinaud_lease_unlock(ngx_pinaud_main_conf_t *pmcf)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) pmcf->outage->shm.addr;
    ngx_shmtx_unlock(&shpool->mutex);
}


ngx_pinaud_lease_t *
ngx_pinaud_lease_find(ngx_pinaud_leases_t *leases,
    ngx_pinaud_policy_t *policy, ngx_uint_t make)
{
    ngx_uint_t           i, serial;
    ngx_pinaud_lease_t  *lease, *room;

    room = NULL;

    for (i = 0; i < NGX_PINAUD_LEASES; i++) {
        lease = &leases->leases[i];

        if (lease->known
            && ngx_memn2cmp(lease->account, policy->account,
                            lease->account_len, policy->account_len)
               == 0
            && ngx_memn2cmp(lease->credential, policy->credential,
                            lease->credential_len, policy->credential_len)
               == 0)
        {
            return lease;
        }

        if (room == NULL && (!lease->known || !ngx_pinaud_lease_live(lease)))
        {
            room = lease;
        }
    }

    if (!make || room == NULL) {
        return NULL;
    }

    serial = room->serial + 1;

    ngx_memzero(room, sizeof(ngx_pinaud_lease_t));

    room->serial = serial;
    room->account_len = policy->account_len;
    ngx_memcpy(room->account, policy->account, policy->account_len);
    room->credential_len = policy->credential_len;
    ngx_memcpy(room->credential, policy->credential, policy->credential_len);
    room->known = 1;

    return room;
}


ngx_pinaud_lease_t *
ngx_pinaud_lease_learn(ngx_pinaud_leases_t *leases,
    ngx_pinaud_policy_t *policy)
{
    ngx_uint_t           i;
    ngx_pinaud_lease_t  *lease;

    for (i = 0; i < NGX_PINAUD_LEASES; i++) {
        lease = &leases->leases[i];

        if (ngx_pinaud_lease_live(lease)
            && ngx_memn2cmp(lease->account, policy->account,
                            lease->account_len, policy->account_len)
               == 0
            && ngx_pinaud_lease_team_of(lease, policy, 0) == NGX_OK)
        {
            policy->credential_len = lease->credential_len;
            ngx_memcpy(policy->credential, lease->credential,
                       lease->credential_len);
            policy->loaded = 1;
            policy->allowed = 1;

            return lease;
        }
    }

    return NULL;
}


ngx_int_t
ngx_pinaud_lease_team_of(ngx_pinaud_lease_t *lease, ngx_pinaud_policy_t *policy,
    ngx_uint_t note)
{
    ngx_uint_t                i;
    ngx_pinaud_lease_team_t  *team;

    for (i = 0; i < NGX_PINAUD_LEASE_TEAMS; i++) {
        team = &lease->teams[i];

        if (team->len
            && ngx_memn2cmp(team->name, policy->team, team->len,
                            policy->team_len)
               == 0)
        {
            return NGX_OK;
        }
    }

    if (note) {
        team = &lease->teams[lease->next_team++ % NGX_PINAUD_LEASE_TEAMS];
        team->len = policy->team_len;
        ngx_memcpy(team->name, policy->team, policy->team_len);
    }

    return NGX_DECLINED;
}


ngx_pinaud_lease_token_t *
ngx_pinaud_lease_token_of(ngx_pinaud_leases_t *leases,
    ngx_pinaud_policy_t *policy, ngx_uint_t make)
{
    ngx_uint_t                 i;
    ngx_pinaud_lease_token_t  *token;

    for (i = 0; i < NGX_PINAUD_LEASE_TOKENS; i++) {
        token = &leases->tokens[i];

        if (token->len
            && ngx_memn2cmp(token->credential, policy->credential,
                            token->credential_len, policy->credential_len)
               == 0)
        {
            return token;
        }
    }

    if (!make) {
        return NULL;
    }

    token = &leases->tokens[leases->next_token++ % NGX_PINAUD_LEASE_TOKENS];

    token->credential_len = policy->credential_len;
    ngx_memcpy(token->credential, policy->credential, policy->credential_len);

    return token;
}


ngx_uint_t
ngx_pinaud_lease_live(ngx_pinaud_lease_t *lease)
{
    return lease->units
           && ngx_current_msec - lease->taken
              < NGX_PINAUD_LEASE_SECONDS * 1000;
}


ngx_uint_t
ngx_pinaud_lease_left(ngx_pinaud_lease_t *lease, ngx_uint_t allowance)
{
    allowance = ngx_min(allowance, lease->units);

    return (ngx_pinaud_lease_live(lease) && !lease->returning
            && lease->spent < allowance) ? allowance - lease->spent : 0;
}


ngx_uint_t
ngx_pinaud_lease_back(ngx_pinaud_lease_t *lease, ngx_uint_t allowance)
{
    return lease->spent || lease->units > allowance;
}
