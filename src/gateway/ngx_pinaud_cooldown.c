
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What Pinterest's rate-limit fields teach: when its own limit is at an end,
 * every gateway holds back calls of that kind by that credential. The fields
 * may only tighten what our own limits say, and nonsense in them is ignored.
 */


#include "ngx_pinaud.h"
#include "pinaud_ratelimit.h"


static pinaud_class_e ngx_pinaud_cooldown_class(ngx_pinaud_record_t *record,
    ngx_str_t *limit, long remaining, long reset);
static void ngx_pinaud_cooldown_tell(ngx_pinaud_record_t *record,
    pinaud_class_e class, long reset);


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

        ngx_pinaud_cooldown_tell(record, class, reset ? reset : 1);
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
ngx_pinaud_cooldown_tell(ngx_pinaud_record_t *record, pinaud_class_e class,
    long reset)
{
    char                     keys[2][PINAUD_KEY_MAX];
    u_char                   ms[NGX_INT64_LEN];
    size_t                   lens[5];
    const char              *args[5];
    ngx_pinaud_policy_t     *policy;
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = ngx_pinaud_main_conf(record);
    policy = record->policy;

    args[0] = "2";
    lens[0] = 1;
    args[1] = keys[0];
    lens[1] = pinaud_key_cooldown(keys[0], (char *) policy->credential,
                                  policy->credential_len);
    args[2] = keys[1];
    lens[2] = pinaud_key_credential(keys[1], (char *) policy->credential,
                                    policy->credential_len);
    args[3] = (class == PINAUD_CLASS_ALL) ? "all" : "writes";
    lens[3] = ngx_strlen(args[3]);
    args[4] = (char *) ms;
    lens[4] = (reset < 0) ? 0 : ngx_pinaud_digits(ms, reset * 1000) - ms;

    ngx_log_error(NGX_LOG_NOTICE, record->request->connection->log, 0,
                  "pinaud: Pinterest's limit of credential \"%*s\" is used "
                  "up: no %s for now", policy->credential_len,
                  policy->credential,
                  (class == PINAUD_CLASS_ALL) ? "calls" : "writes");

    if (ngx_pinaud_tell(pmcf->worker->redis, &pmcf->cooldown, 5, args, lens,
                        NULL, NULL)
        != NGX_OK)
    {
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), "cooldown");
    }
}
