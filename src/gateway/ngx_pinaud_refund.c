
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Charges given back: of requests of which nothing was sent to Pinterest.
 */


#include "ngx_pinaud.h"
#include "pinaud_scripts.h"


#define NGX_PINAUD_REFUND_KEEP  "60000"    /* ms: how long a mark stands */


/* A refund under way: what is needed to send it again after NOSCRIPT. */

typedef struct {
    ngx_pinaud_call_t         call;
    ngx_pinaud_main_conf_t   *conf;
    ngx_pinaud_policy_t      *policy;
    ngx_pinaud_charge_t       charge;
    ngx_uint_t                evaluated;   /* the script went along */
} ngx_pinaud_refund_t;


static void ngx_pinaud_refund_send(ngx_pinaud_refund_t *refund,
    const char *verb, const char *script, size_t script_len);
static void ngx_pinaud_refund_reply(ngx_pinaud_call_t *call,
    redisReply *reply);


void
ngx_pinaud_refund(ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_policy_t *policy,
    ngx_pinaud_charge_t *charge)
{
    ngx_pinaud_refund_t  *refund;

    refund = ngx_alloc(sizeof(ngx_pinaud_refund_t), ngx_cycle->log);
    if (refund == NULL) {
        return;
    }

    refund->conf = pmcf;
    refund->policy = policy;
    refund->charge = *charge;
    refund->evaluated = 0;

    policy->refs++;

    ngx_pinaud_refund_send(refund, "EVALSHA", (char *) pmcf->refund,
                           sizeof(pmcf->refund));
}


/*
 * Sends it, or lets it be where Redis can't be reached now: the charge then
 * stays, which lets nothing extra through.
 */

static void
ngx_pinaud_refund_send(ngx_pinaud_refund_t *refund, const char *verb,
    const char *script, size_t script_len)
{
    int                   n;
    char                  keys[6][PINAUD_KEY_MAX], nkeys[2], *command;
    u_char               *room, id[NGX_PINAUD_ID_LEN + 2], at[NGX_INT64_LEN];
    size_t                lens[10];
    ngx_uint_t            argc, i, k;
    const char           *args[10];
    ngx_pinaud_redis_t   *redis;
    ngx_pinaud_policy_t  *policy;

    redis = refund->conf->worker->redis;
    policy = refund->policy;

    if (ngx_pinaud_redis_state(redis) != NGX_PINAUD_REDIS_READY) {
        goto failed;
    }

    /* the credential's record, the first of the keys, is no bucket */

    k = ngx_pinaud_command_keys(policy, refund->charge.mode, keys, &lens[2]) - 1;

    for (i = 1; i <= k; i++) {
        args[2 + i] = keys[i];
    }

    /* a request is admitted anew after Pinterest's 401: that is its second */

    ngx_memcpy(id, refund->charge.id, NGX_PINAUD_ID_LEN);
    id[NGX_PINAUD_ID_LEN] = '-';
    id[NGX_PINAUD_ID_LEN + 1] = refund->charge.retried ? '2' : '1';

    args[3 + k] = keys[0];
    lens[3 + k] = pinaud_key_refund(keys[0], (char *) policy->credential,
                                    policy->credential_len, (char *) id,
                                    sizeof(id));

    nkeys[0] = '0' + k + 1;

    args[0] = verb;
    lens[0] = ngx_strlen(verb);
    args[1] = script;
    lens[1] = script_len;
    args[2] = nkeys;
    lens[2] = 1;

    argc = 4 + k;
    args[argc] = (char *) at;
    lens[argc++] = ngx_sprintf(at, "%L", refund->charge.at) - at;
    args[argc] = NGX_PINAUD_REFUND_KEEP;
    lens[argc++] = sizeof(NGX_PINAUD_REFUND_KEEP) - 1;

    n = redisFormatCommandArgv(&command, argc, args, lens);
    if (n < 0) {
        goto failed;
    }

    refund->call.handler = ngx_pinaud_refund_reply;

    room = ngx_pinaud_redis_command(redis, &refund->call, n);
    if (room) {
        ngx_memcpy(room, command, n);
    }

    redisFreeCommand(command);

    if (room) {
        return;
    }

failed:

    ngx_pinaud_policy_release(policy);
    ngx_free(refund);
}


static void
ngx_pinaud_refund_reply(ngx_pinaud_call_t *call, redisReply *reply)
{
    ngx_pinaud_refund_t  *refund;

    refund = (ngx_pinaud_refund_t *) call;

    if (reply && reply->type == REDIS_REPLY_ERROR
        && ngx_strncmp(reply->str, "NOSCRIPT", 8) == 0 && !refund->evaluated)
    {
        refund->evaluated = 1;
        ngx_pinaud_refund_send(refund, "EVAL", pinaud_script_refund,
                               sizeof(pinaud_script_refund) - 1);
        return;
    }

    ngx_pinaud_policy_release(refund->policy);
    ngx_free(refund);
}
