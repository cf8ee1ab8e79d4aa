
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a worker knows of accounts and their teams. A policy is used for less
 * than five seconds after it was read, so that a change takes effect within
 * that time everywhere; unknown accounts and foreign teams are kept alike, so
 * that asking for them costs Redis no more. The number kept is bounded.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_POLICY_AGE  4500        /* ms, the answer's way included */
#define NGX_PINAUD_POLICY_MAX  4096        /* a worker */


struct ngx_pinaud_policies_s {
    ngx_rbtree_t             rbtree;
    ngx_rbtree_node_t        sentinel;
    ngx_queue_t              lru;          /* the last used first */
    ngx_uint_t               count;
};


static void ngx_pinaud_policy_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static ngx_int_t ngx_pinaud_policy_cmp(ngx_pinaud_policy_t *policy,
    u_char *account, size_t account_len, u_char *team, size_t team_len);
static ngx_pinaud_policy_t *ngx_pinaud_policy_add(
    ngx_pinaud_policies_t *policies, uint32_t hash, ngx_str_t *account,
    ngx_str_t *team);
static void ngx_pinaud_policy_remove(ngx_pinaud_policy_t *policy);
static void ngx_pinaud_policy_trim(ngx_pinaud_policies_t *policies);
static void ngx_pinaud_policy_free(ngx_pinaud_policy_t *policy);


ngx_pinaud_policies_t *
ngx_pinaud_policies_create(ngx_pool_t *pool)
{
    ngx_pinaud_policies_t  *policies;

    policies = ngx_pcalloc(pool, sizeof(ngx_pinaud_policies_t));
    if (policies == NULL) {
        return NULL;
    }

    ngx_rbtree_init(&policies->rbtree, &policies->sentinel,
                    ngx_pinaud_policy_insert);
    ngx_queue_init(&policies->lru);

    return policies;
}


void
ngx_pinaud_policies_destroy(ngx_pinaud_policies_t *policies)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&policies->lru)) {
        q = ngx_queue_last(&policies->lru);
        ngx_pinaud_policy_remove(ngx_queue_data(q, ngx_pinaud_policy_t, lru));
    }
}


ngx_pinaud_policy_t *
ngx_pinaud_policy_get(ngx_pinaud_policies_t *policies, ngx_str_t *account,
    ngx_str_t *team)
{
    uint32_t              hash;
    ngx_int_t             rc;
    ngx_rbtree_node_t    *node;
    ngx_pinaud_policy_t  *policy;

    hash = ngx_murmur_hash2(account->data, account->len)
           ^ ngx_crc32_short(team->data, team->len);

    node = policies->rbtree.root;

    while (node != &policies->sentinel) {

        if (hash != node->key) {
            node = (hash < node->key) ? node->left : node->right;
            continue;
        }

        policy = (ngx_pinaud_policy_t *) node;

        rc = ngx_pinaud_policy_cmp(policy, account->data, account->len,
                                   team->data, team->len);

        if (rc == 0) {
            ngx_queue_remove(&policy->lru);
            ngx_queue_insert_head(&policies->lru, &policy->lru);
            policy->refs++;

            return policy;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    policy = ngx_pinaud_policy_add(policies, hash, account, team);

    if (policy) {
        policy->refs++;
        ngx_pinaud_policy_trim(policies);
    }

    return policy;
}


void
ngx_pinaud_policy_release(ngx_pinaud_policy_t *policy)
{
    if (--policy->refs == 0) {
        ngx_pinaud_policy_free(policy);
    }
}


ngx_uint_t
ngx_pinaud_policy_fresh(ngx_pinaud_policy_t *policy)
{
    return policy->fresh
           && ngx_current_msec - policy->asked < NGX_PINAUD_POLICY_AGE;
}


void
ngx_pinaud_policy_expire(ngx_pinaud_policy_t *policy)
{
    policy->fresh = 0;
}


ngx_pinaud_policy_t *
ngx_pinaud_policy_replace(ngx_pinaud_policy_t *old)
{
    uint32_t   hash;
    ngx_str_t  account, team;

    /* nginx clears the key of a node that it takes out */

    hash = old->node.key;
    ngx_pinaud_policy_remove(old);

    account.data = old->account;
    account.len = old->account_len;
    team.data = old->team;
    team.len = old->team_len;

    return ngx_pinaud_policy_add(old->policies, hash, &account, &team);
}


static ngx_pinaud_policy_t *
ngx_pinaud_policy_add(ngx_pinaud_policies_t *policies, uint32_t hash,
    ngx_str_t *account, ngx_str_t *team)
{
    ngx_pinaud_policy_t  *policy;

    policy = ngx_calloc(sizeof(ngx_pinaud_policy_t), ngx_cycle->log);
    if (policy == NULL) {
        return NULL;
    }

    policy->policies = policies;
    policy->node.key = hash;
    policy->account_len = account->len;
    ngx_memcpy(policy->account, account->data, account->len);
    policy->team_len = team->len;
    ngx_memcpy(policy->team, team->data, team->len);
    ngx_queue_init(&policy->waiting);

    policy->refs = 1;
    policy->known = 1;

    ngx_rbtree_insert(&policies->rbtree, &policy->node);
    ngx_queue_insert_head(&policies->lru, &policy->lru);
    policies->count++;

    return policy;
}


/* Takes it out of the tree, and the tree's reference from it. */

static void
ngx_pinaud_policy_remove(ngx_pinaud_policy_t *policy)
{
    ngx_pinaud_policies_t  *policies;

    if (!policy->known) {
        return;
    }

    policies = policy->policies;

    ngx_queue_remove(&policy->lru);
    ngx_rbtree_delete(&policies->rbtree, &policy->node);
    policies->count--;

    policy->known = 0;

    ngx_pinaud_policy_release(policy);
}


static void
ngx_pinaud_policy_trim(ngx_pinaud_policies_t *policies)
{
    ngx_queue_t  *q;

    if (policies->count > NGX_PINAUD_POLICY_MAX) {
        q = ngx_queue_last(&policies->lru);
        ngx_pinaud_policy_remove(ngx_queue_data(q, ngx_pinaud_policy_t, lru));
    }
}


static void
ngx_pinaud_policy_free(ngx_pinaud_policy_t *policy)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_PINAUD_MODES; i++) {

        if (policy->commands[i].data) {
            ngx_free(policy->commands[i].data);
        }
    }

    for (i = 0; i < 2; i++) {
        ngx_pinaud_turn_release(policy->turns[i]);
    }

    ngx_free(policy);
}


static ngx_int_t
ngx_pinaud_policy_cmp(ngx_pinaud_policy_t *policy, u_char *account,
    size_t account_len, u_char *team, size_t team_len)
{
    ngx_int_t  rc;

    rc = ngx_memn2cmp(account, policy->account, account_len,
                      policy->account_len);
    if (rc != 0) {
        return rc;
    }

    return ngx_memn2cmp(team, policy->team, team_len, policy->team_len);
}


static void
ngx_pinaud_policy_insert(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t    **p;
    ngx_pinaud_policy_t   *policy;

    policy = (ngx_pinaud_policy_t *) node;

    for ( ;; ) {

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            p = (ngx_pinaud_policy_cmp((ngx_pinaud_policy_t *) temp,
                                       policy->account, policy->account_len,
                                       policy->team, policy->team_len)
                 < 0)
                ? &temp->left : &temp->right;
        }

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}
