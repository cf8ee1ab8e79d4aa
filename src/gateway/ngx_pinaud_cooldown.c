
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What Pinterest's rate-limit fields teach: when its own limit is at an end,
 * every gateway holds back calls of that kind by that credential. The fields
 * may only tighten what our own limits say, and nonsense in them is ignored.
 */


#include "ngx_pinaud.h"
#include "pinaud_ratelimit.h"


#define NGX_PINAUD_COOLDOWN_S     120      /* COOLDOWN_MS of ring.lua */
#define NGX_PINAUD_COOLDOWN_DAY   86400000 /* DAY_MS */


/* What Redis is told, however long it takes. */

typedef struct {
    ngx_pinaud_kept_t   kept;              /* first */
    pinaud_class_e      class;
    ngx_msec_t          ahead;             /* ms; 0: Pinterest did not tell */
    ngx_msec_t          heard;
    size_t              len;
    u_char              credential[PINAUD_NAME_MAX];
} ngx_pinaud_cooldown_t;


static pinaud_class_e ngx_pinaud_cooldown_class(ngx_pinaud_record_t *record,
    ngx_str_t *limit, long remaining, long reset);
static void ngx_pinaud_cooldown_begin(ngx_pinaud_record_t *record,
    pinaud_class_e class, long reset);
static ngx_int_t ngx_pinaud_cooldown_send(ngx_pinaud_kept_t *kept,
    ngx_pinaud_main_conf_t *pmcf);
static void ngx_pinaud_cooldown_end(ngx_pinaud_kept_t *kept,
    ngx_pinaud_main_conf_t *pmcf, redisReply *reply);
static void ngx_pinaud_cooldown_hold(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, long reset);


void
ngx_pinaud_cooldown_learn(ngx_pinaud_record_t *record)
{
    long                remaining, reset;
    ngx_str_t           limit;
    pinaud_class_e      class;
    ngx_table_elt_t    *h;
    ngx_pinaud_walk_t   walk;

    remaining = -1;
    reset = -1;
    ngx_str_null(&limit);

    ngx_pinaud_walk(&walk, &record->request->upstream->headers_in.headers);

    while ((h = ngx_pinaud_walk_next(&walk)) != NULL) {

        if (ngx_pinaud_walk_is(h, "x-ratelimit-limit", 17)) {
            limit = h->value;

        } else if (ngx_pinaud_walk_is(h, "x-ratelimit-remaining", 21)) {
            remaining = pinaud_ratelimit_number(h->value.data, h->value.len);

        } else if (ngx_pinaud_walk_is(h, "x-ratelimit-reset", 17)) {
            reset = pinaud_ratelimit_number(h->value.data, h->value.len);
        }
    }

    class = ngx_pinaud_cooldown_class(record, &limit, remaining, reset);

    if (class != PINAUD_CLASS_UNKNOWN) {

        /* 0: whatever was cut off of a second */

        ngx_pinaud_cooldown_begin(record, class, reset ? reset : 1);
    }
}


/* Which calls are to be held back; unknown: none. */

static pinaud_class_e
ngx_pinaud_cooldown_class(ngx_pinaud_record_t *record, ngx_str_t *limit,
    long remaining, long reset)
{
    ngx_uint_t       refused;
    pinaud_class_e   class;

    refused = (record->request->upstream->headers_in.status_n
               == NGX_HTTP_TOO_MANY_REQUESTS);

    /*
     * A second that is used up is over before others can be told, and limits
     * by the second are used up in each second of a busy day.
     */

    if (!refused && (remaining != 0 || reset <= 1)) {
        return PINAUD_CLASS_UNKNOWN;
    }

    class = pinaud_ratelimit_class(limit->data, limit->len, reset);

    if (class == PINAUD_CLASS_WRITES || class == PINAUD_CLASS_ALL) {
        return class;
    }

    /* what a write was refused for holds for writes; a read tells nothing */

    return (refused && record->write) ? PINAUD_CLASS_WRITES
                                      : PINAUD_CLASS_UNKNOWN;
}


static void
ngx_pinaud_cooldown_begin(ngx_pinaud_record_t *record, pinaud_class_e class,
    long reset)
{
    ngx_pinaud_policy_t     *policy;
    ngx_pinaud_cooldown_t   *cooldown;
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = ngx_pinaud_main_conf(record);
    policy = record->policy;

    ngx_log_error(NGX_LOG_NOTICE, record->request->connection->log, 0,
                  "pinaud: Pinterest's limit of credential \"%*s\" is used "
                  "up: no %s for now", policy->credential_len,
                  policy->credential,
                  (class == PINAUD_CLASS_ALL) ? "calls" : "writes");

    ngx_pinaud_cooldown_hold(pmcf, policy, reset);

    cooldown = ngx_alloc(sizeof(ngx_pinaud_cooldown_t), ngx_cycle->log);

    if (cooldown == NULL) {
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), "cooldown");
        return;
    }

    cooldown->kept.send = ngx_pinaud_cooldown_send;
    cooldown->kept.end = ngx_pinaud_cooldown_end;
    cooldown->class = class;
    cooldown->ahead = (reset < 0) ? 0 : reset * 1000;
    cooldown->heard = ngx_current_msec;
    cooldown->len = policy->credential_len;
    ngx_memcpy(cooldown->credential, policy->credential, cooldown->len);

    ngx_pinaud_keep(pmcf->worker->cooldowns, &cooldown->kept);
}


static ngx_int_t
ngx_pinaud_cooldown_send(ngx_pinaud_kept_t *kept, ngx_pinaud_main_conf_t *pmcf)
{
    char                    keys[2][PINAUD_KEY_MAX];
    u_char                  ahead[NGX_INT64_LEN], age[NGX_INT64_LEN];
    size_t                  lens[6];
    ngx_msec_t              passed;
    const char             *args[6];
    ngx_pinaud_cooldown_t  *cooldown;

    cooldown = (ngx_pinaud_cooldown_t *) kept;
    passed = ngx_current_msec - cooldown->heard;

    if (passed >= (cooldown->ahead ? cooldown->ahead : NGX_PINAUD_COOLDOWN_DAY))
    {
        return NGX_ABORT;
    }

    args[0] = "2";
    lens[0] = 1;
    args[1] = keys[0];
    lens[1] = pinaud_key_cooldown(keys[0], (char *) cooldown->credential,
                                  cooldown->len);
    args[2] = keys[1];
    lens[2] = pinaud_key_credential(keys[1], (char *) cooldown->credential,
                                    cooldown->len);
    args[3] = (cooldown->class == PINAUD_CLASS_ALL) ? "all" : "writes";
    lens[3] = ngx_strlen(args[3]);
    args[4] = (char *) ahead;
    lens[4] = cooldown->ahead
              ? ngx_pinaud_digits(ahead, cooldown->ahead) - ahead : 0;
    args[5] = (char *) age;
    lens[5] = ngx_pinaud_digits(age, passed) - age;

    return ngx_pinaud_tell(pmcf->worker->redis, &pmcf->cooldown, 6, args, lens,
                           ngx_pinaud_keep_told, cooldown);
}


static void
ngx_pinaud_cooldown_end(ngx_pinaud_kept_t *kept, ngx_pinaud_main_conf_t *pmcf,
    redisReply *reply)
{
    if (reply == NULL) {
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), "cooldown");
    }

    ngx_free(kept);
}


/*
 * By this its own gateway goes where it does without Redis, which knows of the
 * tier: here a minute is one by the clock. It is only ever extended.
 */

static void
ngx_pinaud_cooldown_hold(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, long reset)
{
    reset = (reset < 0) ? 60 - ngx_time() % 60
                        : ngx_min(reset, NGX_PINAUD_COOLDOWN_S);

    if (reset > ngx_pinaud_cooldown_left(pmcf, policy)) {
        ngx_pinaud_cooldown_known(pmcf, policy, reset);
    }
}


void
ngx_pinaud_cooldown_known(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, time_t left)
{
    ngx_pinaud_policy_learn(pmcf, policy, NGX_PINAUD_FACT_COOLDOWN,
                            left ? ngx_time() + left : 0);
}


time_t
ngx_pinaud_cooldown_left(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy)
{
    time_t  ends;

    ends = ngx_pinaud_policy_fact(pmcf, policy, NGX_PINAUD_FACT_COOLDOWN);

    return (ends > ngx_time()) ? ends - ngx_time() : 0;
}
