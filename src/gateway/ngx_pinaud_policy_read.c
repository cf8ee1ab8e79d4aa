
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How a policy is read from Redis: the question, and the record that answers.
 */


#include "ngx_pinaud.h"


/* A question under way: it may outlive the interest of those who asked. */

typedef struct {
    ngx_pinaud_call_t        call;
    ngx_pinaud_policy_t     *policy;
    ngx_msec_t               asked;
} ngx_pinaud_policy_ask_t;


static void ngx_pinaud_policy_reply(ngx_pinaud_call_t *call,
    redisReply *reply);
static void ngx_pinaud_policy_log(ngx_pinaud_policy_t *policy,
    const char *reason);
static void ngx_pinaud_policy_succeed(ngx_pinaud_policy_t *policy,
    ngx_pinaud_policy_t *old);
static const char *ngx_pinaud_policy_read(ngx_pinaud_policy_t *policy,
    redisReply *reply);
static ngx_int_t ngx_pinaud_policy_limits(redisReply *reply, u_char *to,
    size_t *len);
static ngx_int_t ngx_pinaud_policy_team(ngx_pinaud_policy_t *policy,
    redisReply *reserved, redisReply *team);


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
 * that were admitted by the old one give back by it. That it can't be used is
 * remembered as well: the log tells it once a reading. Another error than of
 * the key's type tells of Redis, not of the record, and changes nothing.
 */

static void
ngx_pinaud_policy_reply(ngx_pinaud_call_t *call, redisReply *reply)
{
    const char               *reason;
    ngx_pinaud_policy_t      *policy, *old;
    ngx_pinaud_policy_ask_t  *ask;

    ask = (ngx_pinaud_policy_ask_t *) call;
    old = ask->policy;

    old->asking = 0;
    old->fresh = 0;

    if (reply && reply->type == REDIS_REPLY_ERROR
        && ngx_strncmp(reply->str, "WRONGTYPE", 9) != 0)
    {
        if (!old->refused) {
            ngx_pinaud_policy_log(old, "Redis refused to read");
            old->refused = 1;
        }

        reply = NULL;
    }

    policy = reply ? ngx_pinaud_policy_replace(old) : NULL;

    if (policy) {
        policy->asked = ask->asked;
        policy->fresh = 1;

        reason = ngx_pinaud_policy_read(policy, reply);

        if (reason == NULL) {
            policy->loaded = 1;
            policy->leased = old->leased;
            ngx_pinaud_policy_succeed(policy, old);

        } else {
            policy->unreadable = 1;
            ngx_pinaud_policy_log(old, reason);
        }
    }

    ngx_free(ask);

    ngx_pinaud_waiters_tell(&old->waiting, policy != NULL);

    ngx_pinaud_policy_release(old);
}


static void
ngx_pinaud_policy_log(ngx_pinaud_policy_t *policy, const char *reason)
{
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
    redisReply  *format, *credential;

    if (reply->type == REDIS_REPLY_ERROR) {
        return "no record";
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5) {
        return "reply not understood";
    }

    format = reply->element[0];
    credential = reply->element[1];

    if (format->type == REDIS_REPLY_NIL) {

        /* no such account */

        return NULL;
    }

    if (format->type != REDIS_REPLY_STRING
        || format->len != sizeof(PINAUD_RECORD_FORMAT) - 1
        || ngx_memcmp(format->str, PINAUD_RECORD_FORMAT, format->len) != 0)
    {
        return "unknown format";
    }

    if (credential->type != REDIS_REPLY_STRING
        || !pinaud_is_name((u_char *) credential->str, credential->len))
    {
        return "no credential's name";
    }

    policy->credential_len = credential->len;
    ngx_memcpy(policy->credential, credential->str, credential->len);

    if (ngx_pinaud_policy_limits(reply->element[2], policy->account_limits,
                                 &policy->account_limits_len)
        != NGX_OK)
    {
        return "malformed limits of the account";
    }

    if (reply->element[4]->type == REDIS_REPLY_NIL) {

        /* not this team's */

        return NULL;
    }

    if (ngx_pinaud_policy_team(policy, reply->element[3], reply->element[4])
        != NGX_OK)
    {
        return "malformed limits or reserve of the team";
    }

    policy->allowed = 1;

    return NULL;
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
