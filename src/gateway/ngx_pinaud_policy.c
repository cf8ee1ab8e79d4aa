
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


/* A question under way: it may outlive the interest of those who asked. */

typedef struct {
    ngx_pinaud_call_t        call;
    ngx_pinaud_policy_t     *policy;
    ngx_msec_t               asked;
} ngx_pinaud_policy_ask_t;


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
static void ngx_pinaud_policy_reply(ngx_pinaud_call_t *call,
    redisReply *reply);
static void ngx_pinaud_policy_succeed(ngx_pinaud_policy_t *policy,
    ngx_pinaud_policy_t *old);
static ngx_int_t ngx_pinaud_policy_read(ngx_pinaud_policy_t *policy,
    redisReply *reply, const char **reason);
static ngx_int_t ngx_pinaud_policy_limits(redisReply *reply, u_char *to,
    size_t *len);
static ngx_int_t ngx_pinaud_policy_team(ngx_pinaud_policy_t *policy,
    redisReply *reserved, redisReply *team);


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


ngx_int_t
ngx_pinaud_policy_ask(ngx_pinaud_policy_t *policy, ngx_pinaud_redis_t *redis)
{
    int                       n;
    char                     *command, key[PINAUD_KEY_MAX],
                              field[sizeof("team:") + PINAUD_NAME_MAX];
    u_char                   *room;
    size_t                    lens[7];
    const char               *args[7];
    ngx_pinaud_policy_ask_t  *ask;

    if (policy->asking) {
        return NGX_OK;
    }

    args[0] = "HMGET";
    lens[0] = 5;
    args[1] = key;
    lens[1] = pinaud_key_account(key, (char *) policy->account,
                                 policy->account_len);
    args[2] = "format";
    lens[2] = 6;
    args[3] = "credential";
    lens[3] = 10;
    args[4] = "limits";
    lens[4] = 6;
    args[5] = "reserved";
    lens[5] = 8;
    args[6] = field;
    lens[6] = ngx_snprintf((u_char *) field, sizeof(field), "team:%*s",
                           policy->team_len, policy->team)
              - (u_char *) field;

    n = redisFormatCommandArgv(&command, 7, args, lens);
    if (n < 0) {
        return NGX_ERROR;
    }

    ask = ngx_alloc(sizeof(ngx_pinaud_policy_ask_t), ngx_cycle->log);
    if (ask == NULL) {
        redisFreeCommand(command);
        return NGX_ERROR;
    }

    ask->call.handler = ngx_pinaud_policy_reply;
    ask->policy = policy;
    ask->asked = ngx_current_msec;

    room = ngx_pinaud_redis_command(redis, &ask->call, n);

    if (room == NULL) {
        ngx_free(ask);
        redisFreeCommand(command);
        return NGX_ERROR;
    }

    ngx_memcpy(room, command, n);
    redisFreeCommand(command);

    policy->asking = 1;
    policy->refs++;

    return NGX_OK;
}


/*
 * What was read becomes a policy of its own in the old one's place: requests
 * that were admitted by the old one give back by it.
 */

static void
ngx_pinaud_policy_reply(ngx_pinaud_call_t *call, redisReply *reply)
{
    uint32_t                  hash;
    ngx_int_t                 rc;
    ngx_str_t                 account, team;
    const char               *reason;
    ngx_pinaud_policy_t      *policy, *old;
    ngx_pinaud_policies_t    *policies;
    ngx_pinaud_policy_ask_t  *ask;

    ask = (ngx_pinaud_policy_ask_t *) call;
    old = ask->policy;
    policies = old->policies;

    old->asking = 0;
    old->fresh = 0;

    rc = NGX_ERROR;

    if (reply) {
        /* nginx clears the key of a node that it takes out */

        hash = old->node.key;
        ngx_pinaud_policy_remove(old);

        account.data = old->account;
        account.len = old->account_len;
        team.data = old->team;
        team.len = old->team_len;

        policy = ngx_pinaud_policy_add(policies, hash, &account,
                                       &team);

        if (policy) {
            reason = "";
            policy->asked = ask->asked;

            rc = ngx_pinaud_policy_read(policy, reply, &reason);

            if (rc == NGX_OK) {
                policy->fresh = 1;
                policy->loaded = 1;
                policy->leased = old->leased;
                ngx_pinaud_policy_succeed(policy, old);

            } else {
                ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                              "pinaud: policy of account \"%V\" can't be "
                              "used: %s", &account, reason);
            }
        }
    }

    ngx_free(ask);

    ngx_pinaud_waiters_tell(&old->waiting, rc == NGX_OK);
    ngx_pinaud_policy_release(old);
}


/* Hands on who waits for a turn, and what is known of the quota. */

static void
ngx_pinaud_policy_succeed(ngx_pinaud_policy_t *policy,
    ngx_pinaud_policy_t *old)
{
    ngx_uint_t  i, same;

    same = policy->allowed == old->allowed
           && ngx_memn2cmp(policy->credential, old->credential,
                           policy->credential_len, old->credential_len)
              == 0
           && ngx_memn2cmp(policy->account_limits, old->account_limits,
                           policy->account_limits_len,
                           old->account_limits_len)
              == 0
           && ngx_memn2cmp(policy->team_limits, old->team_limits,
                           policy->team_limits_len, old->team_limits_len)
              == 0;

    for (i = 0; i < 2; i++) {
        policy->turns[i] = old->turns[i];
        old->turns[i] = NULL;

        if (!same) {
            ngx_pinaud_turn_reopen(policy->turns[i]);
        }
    }
}


static ngx_int_t
ngx_pinaud_policy_read(ngx_pinaud_policy_t *policy, redisReply *reply,
    const char **reason)
{
    redisReply  *format, *credential;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5) {
        *reason = (reply->type == REDIS_REPLY_ERROR) ? "Redis refused to read"
                                                     : "reply not understood";
        return NGX_ERROR;
    }

    format = reply->element[0];
    credential = reply->element[1];

    if (format->type == REDIS_REPLY_NIL) {

        /* no such account */

        return NGX_OK;
    }

    if (format->type != REDIS_REPLY_STRING
        || format->len != sizeof(PINAUD_RECORD_FORMAT) - 1
        || ngx_memcmp(format->str, PINAUD_RECORD_FORMAT, format->len) != 0)
    {
        *reason = "unknown format";
        return NGX_ERROR;
    }

    if (credential->type != REDIS_REPLY_STRING
        || !pinaud_is_name((u_char *) credential->str, credential->len))
    {
        *reason = "no credential's name";
        return NGX_ERROR;
    }

    policy->credential_len = credential->len;
    ngx_memcpy(policy->credential, credential->str, credential->len);

    if (ngx_pinaud_policy_limits(reply->element[2], policy->account_limits,
                                 &policy->account_limits_len)
        != NGX_OK)
    {
        *reason = "malformed limits of the account";
        return NGX_ERROR;
    }

    if (reply->element[4]->type == REDIS_REPLY_NIL) {

        /* not this team's */

        return NGX_OK;
    }

    if (ngx_pinaud_policy_team(policy, reply->element[3], reply->element[4])
        != NGX_OK)
    {
        *reason = "malformed limits or reserve of the team";
        return NGX_ERROR;
    }

    policy->allowed = 1;

    return NGX_OK;
}


/* Limits go to the script in one spelling: they are read and written anew. */

static ngx_int_t
ngx_pinaud_policy_limits(redisReply *reply, u_char *to, size_t *len)
{
    pinaud_limits_t  limits;

    *len = 0;

    if (reply->type == REDIS_REPLY_NIL) {
        return NGX_OK;
    }

    if (reply->type != REDIS_REPLY_STRING
        || pinaud_limits_read(&limits, reply->str, reply->len) != 0)
    {
        return NGX_ERROR;
    }

    *len = pinaud_limits_write(&limits, (char *) to);

    return NGX_OK;
}


/* A reserve is part of the sum, and the sum is part of a limit. */

static ngx_int_t
ngx_pinaud_policy_team(ngx_pinaud_policy_t *policy, redisReply *reserved,
    redisReply *team)
{
    u_char           *p;
    unsigned          reserve, sum;
    pinaud_limits_t   limits;

    sum = 0;

    if (reserved->type != REDIS_REPLY_NIL
        && (reserved->type != REDIS_REPLY_STRING
            || pinaud_reserve_read(&sum, reserved->str, reserved->len) != 0
            || policy->account_limits_len == 0))
    {
        return NGX_ERROR;
    }

    if (team->type != REDIS_REPLY_STRING
        || pinaud_team_read(&limits, &reserve, team->str, team->len) != 0
        || reserve > sum)
    {
        return NGX_ERROR;
    }

    policy->team_limits_len = pinaud_limits_write(&limits,
                                                  (char *) policy->team_limits);

    p = ngx_pinaud_digits(policy->reserves, reserve);
    *p++ = ' ';
    p = ngx_pinaud_digits(p, sum);
    policy->reserves_len = p - policy->reserves;
    policy->reserved = sum;
    policy->split = (sum != 0);

    return NGX_OK;
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
