
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How a policy is read from Redis: the question, and the record that answers.
 */


#include "ngx_pinaud.h"
#include "pinaud_mac.h"
#include "pinaud_policy.h"


/* What is asked, in the order of the reply. */

enum {
    NGX_PINAUD_POLICY_FORMAT = 0,
    NGX_PINAUD_POLICY_CREDENTIAL,
    NGX_PINAUD_POLICY_LIMITS,
    NGX_PINAUD_POLICY_RESERVED,
    NGX_PINAUD_POLICY_MAC,
    NGX_PINAUD_POLICY_TEAM,
    NGX_PINAUD_POLICY_TEAM_MAC,
    NGX_PINAUD_POLICY_FIELDS
};


static size_t ngx_pinaud_policy_field(char *to, const char *prefix,
    ngx_pinaud_policy_t *policy);
static const char *ngx_pinaud_policy_reply(ngx_pinaud_cached_t *cached,
    ngx_pinaud_cached_t *cached_old, redisReply *reply);
static void ngx_pinaud_policy_log(ngx_pinaud_cached_t *cached,
    const char *reason);
static void ngx_pinaud_policy_succeed(ngx_pinaud_policy_t *policy,
    ngx_pinaud_policy_t *old);
static const char *ngx_pinaud_policy_read(ngx_pinaud_policy_t *policy,
    redisReply *reply);
static const char *ngx_pinaud_policy_account(ngx_pinaud_policy_t *policy,
    redisReply **fields);
static const char *ngx_pinaud_policy_macs(ngx_pinaud_policy_t *policy,
    redisReply **fields);
static const char *ngx_pinaud_policy_mac(pinaud_keyring_t *ring,
    u_char *data, size_t len, redisReply *mac);
static void ngx_pinaud_policy_text(pinaud_policy_field_t *field,
    redisReply *reply);
static ngx_int_t ngx_pinaud_policy_limits(redisReply *reply, u_char *to,
    size_t *len);
static ngx_int_t ngx_pinaud_policy_team(ngx_pinaud_policy_t *policy,
    redisReply *reserved, redisReply *team);


const ngx_pinaud_cache_kind_t  ngx_pinaud_policy_kind = {
    sizeof(ngx_pinaud_policy_t),
    { 4096, 4096 },
    ngx_pinaud_policy_reply,
    ngx_pinaud_policy_log,
    ngx_pinaud_policy_free
};


ngx_int_t
ngx_pinaud_policy_ask(ngx_pinaud_policy_t *policy, ngx_pinaud_redis_t *redis)
{
    char         key[PINAUD_KEY_MAX],
                 team[sizeof("team:") + PINAUD_NAME_MAX],
                 mac[sizeof("mac:") + PINAUD_NAME_MAX];
    size_t       lens[NGX_PINAUD_POLICY_FIELDS + 2];
    const char  *args[NGX_PINAUD_POLICY_FIELDS + 2];

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
    args[6] = "mac";
    lens[6] = 3;
    args[7] = team;
    lens[7] = ngx_pinaud_policy_field(team, "team:", policy);
    args[8] = mac;
    lens[8] = ngx_pinaud_policy_field(mac, "mac:", policy);

    return ngx_pinaud_cache_ask(&policy->cached, redis,
                                NGX_PINAUD_POLICY_FIELDS + 2, args, lens);
}


/* A field's name, of the prefix and the team's. */

static size_t
ngx_pinaud_policy_field(char *to, const char *prefix,
    ngx_pinaud_policy_t *policy)
{
    u_char  *p;

    p = ngx_cpymem(to, prefix, ngx_strlen(prefix));
    p = ngx_cpymem(p, policy->team, policy->team_len);

    return p - (u_char *) to;
}


/* Requests that were admitted by the old one give back by it. */

static const char *
ngx_pinaud_policy_reply(ngx_pinaud_cached_t *cached,
    ngx_pinaud_cached_t *cached_old, redisReply *reply)
{
    ngx_str_t             account, team;
    const char           *reason;
    ngx_pinaud_policy_t  *policy, *old;

    policy = (ngx_pinaud_policy_t *) cached;
    old = (ngx_pinaud_policy_t *) cached_old;

    account.data = old->account;
    account.len = old->account_len;
    team.data = old->team;
    team.len = old->team_len;

    ngx_pinaud_policy_name(policy, &account, &team);

    reason = ngx_pinaud_policy_read(policy, reply);

    if (reason == NULL) {
        cached->useful = policy->allowed;
        policy->loaded = 1;
        policy->leased = old->leased;
        ngx_pinaud_policy_succeed(policy, old);
    }

    return reason;
}


static void
ngx_pinaud_policy_log(ngx_pinaud_cached_t *cached, const char *reason)
{
    ngx_pinaud_policy_t  *policy;

    policy = (ngx_pinaud_policy_t *) cached;

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "pinaud: policy of account \"%*s\" can't be used: %s",
                  policy->account_len, policy->account, reason);
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


/* NULL: done; else why it can't be used. */

static const char *
ngx_pinaud_policy_read(ngx_pinaud_policy_t *policy, redisReply *reply)
{
    const char   *reason;
    redisReply   *format, **fields;

    if (reply->type != REDIS_REPLY_ARRAY
        || reply->elements != NGX_PINAUD_POLICY_FIELDS)
    {
        return "reply not understood";
    }

    fields = reply->element;
    format = fields[NGX_PINAUD_POLICY_FORMAT];

    if (format->type == REDIS_REPLY_NIL) {

        /* no such account */

        return NULL;
    }

    if (!ngx_pinaud_cache_understood(format)) {
        return "unknown format";
    }

    reason = ngx_pinaud_policy_account(policy, fields);

    if (reason == NULL) {
        reason = ngx_pinaud_policy_macs(policy, fields);
    }

    if (reason != NULL) {
        return reason;
    }

    if (fields[NGX_PINAUD_POLICY_TEAM]->type == REDIS_REPLY_NIL) {

        /* not this team's */

        return NULL;
    }

    if (ngx_pinaud_policy_team(policy, fields[NGX_PINAUD_POLICY_RESERVED],
                               fields[NGX_PINAUD_POLICY_TEAM])
        != NGX_OK)
    {
        return "malformed limits or reserve of the team";
    }

    policy->allowed = 1;

    return NULL;
}


static const char *
ngx_pinaud_policy_account(ngx_pinaud_policy_t *policy, redisReply **fields)
{
    char         key[PINAUD_KEY_MAX];
    size_t       len;
    redisReply  *credential;

    credential = fields[NGX_PINAUD_POLICY_CREDENTIAL];

    if (credential->type != REDIS_REPLY_STRING
        || !pinaud_is_name((u_char *) credential->str, credential->len))
    {
        return "no credential's name";
    }

    len = pinaud_key_credential(key, credential->str, credential->len);
    policy->slot = ngx_pinaud_redis_slot(
                       ngx_pinaud_cache_conf(&policy->cached)->worker->redis,
                       key, len);

    policy->credential_len = credential->len;
    ngx_memcpy(policy->credential, credential->str, credential->len);

    if (ngx_pinaud_policy_limits(fields[NGX_PINAUD_POLICY_LIMITS],
                                 policy->account_limits,
                                 &policy->account_limits_len)
        != NGX_OK)
    {
        return "malformed limits of the account";
    }

    return NULL;
}


/* Whether somebody with the seal key wrote this, for this account and team. */

static const char *
ngx_pinaud_policy_macs(ngx_pinaud_policy_t *policy, redisReply **fields)
{
    size_t                  len;
    u_char                  data[PINAUD_POLICY_DATA];
    const char             *reason;
    pinaud_keyring_t       *ring;
    pinaud_policy_field_t   texts[PINAUD_POLICY_FIELDS];

    ring = ngx_pinaud_cache_conf(&policy->cached)->ring;

    texts[0].text = (char *) policy->account;
    texts[0].len = policy->account_len;
    ngx_pinaud_policy_text(&texts[1], fields[NGX_PINAUD_POLICY_CREDENTIAL]);
    ngx_pinaud_policy_text(&texts[2], fields[NGX_PINAUD_POLICY_LIMITS]);
    ngx_pinaud_policy_text(&texts[3], fields[NGX_PINAUD_POLICY_RESERVED]);

    len = pinaud_policy_account(data, texts);
    reason = ngx_pinaud_policy_mac(ring, data, len,
                                   fields[NGX_PINAUD_POLICY_MAC]);

    if (reason != NULL
        || fields[NGX_PINAUD_POLICY_TEAM]->type == REDIS_REPLY_NIL)
    {
        return reason;
    }

    texts[2] = texts[1];
    texts[1].text = (char *) policy->team;
    texts[1].len = policy->team_len;
    ngx_pinaud_policy_text(&texts[3], fields[NGX_PINAUD_POLICY_TEAM]);

    len = pinaud_policy_team(data, texts);

    return ngx_pinaud_policy_mac(ring, data, len,
                                 fields[NGX_PINAUD_POLICY_TEAM_MAC]);
}


static const char *
ngx_pinaud_policy_mac(pinaud_keyring_t *ring, u_char *data, size_t len,
    redisReply *mac)
{
    pinaud_mac_e  rc;

    if (mac->type != REDIS_REPLY_STRING) {
        return "it has no MAC: \"pinaudctl policy apply\" mends it";
    }

    rc = len ? pinaud_mac_check(ring, data, len, mac->str, mac->len)
             : PINAUD_MAC_WRONG;

    switch (rc) {

    case PINAUD_MAC_GOOD:
        return NULL;

    case PINAUD_MAC_UNKNOWN_KEY:
        return "its MAC is by a key that is not in the seal key file";

    default:
        return "its MAC is wrong: \"pinaudctl policy apply\" mends it";
    }
}


static void
ngx_pinaud_policy_text(pinaud_policy_field_t *field, redisReply *reply)
{
    field->text = NULL;
    field->len = 0;

    if (reply->type == REDIS_REPLY_STRING) {
        field->text = reply->str;
        field->len = reply->len;
    }
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

    return NGX_OK;
}
