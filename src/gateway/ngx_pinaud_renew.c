
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Renewals. A request whose token was refused or is expired has Redis told
 * that a newer one is wanted, which an agent listens for, and waits until the
 * credential's record has it.
 */


#include "ngx_pinaud_renew.h"


static void ngx_pinaud_renew_wish(ngx_pinaud_renewal_t *renewal,
    uint64_t version, ngx_pinaud_how_e how);
static ngx_pinaud_how_e ngx_pinaud_renew_how(ngx_pinaud_record_t *record);
static ngx_pinaud_fact_e ngx_pinaud_renew_fact(ngx_pinaud_record_t *record);
static void ngx_pinaud_renew_woken(ngx_pinaud_waiter_t *waiter,
    ngx_uint_t ready);
static ngx_int_t ngx_pinaud_renew_send(ngx_pinaud_renewal_t *renewal);
static void ngx_pinaud_renew_told(ngx_pinaud_call_t *call,
    redisReply *reply);


static const char  *ngx_pinaud_hows[] = {
    [NGX_PINAUD_HOW_NONE] = "",
    [NGX_PINAUD_HOW_REFUSED] = "refused",
    [NGX_PINAUD_HOW_WORKED] = "worked",
    [NGX_PINAUD_HOW_EXPIRED] = "expired"
};


void
ngx_pinaud_renew_worked(ngx_pinaud_record_t *record)
{
    ngx_pinaud_fact_e        fact;
    ngx_pinaud_policy_t     *policy;
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = ngx_pinaud_main_conf(record);
    policy = record->policy;
    fact = ngx_pinaud_renew_fact(record);

    policy->worked[!record->write] = record->version;

    if (ngx_pinaud_policy_fact(pmcf, policy, fact) < record->version) {
        ngx_pinaud_policy_learn(pmcf, policy, fact, record->version);
    }
}


ngx_uint_t
ngx_pinaud_renew_unattended(ngx_pinaud_record_t *record)
{
    return record->policy
           && ngx_pinaud_state_unattended(
                  ngx_pinaud_policy_fact(ngx_pinaud_main_conf(record),
                                         record->policy,
                                         NGX_PINAUD_FACT_STATE));
}


void
ngx_pinaud_renew_want(ngx_pinaud_record_t *record)
{
    ngx_pinaud_renewal_t  *renewal;

    renewal = ngx_pinaud_renewal(ngx_pinaud_main_conf(record), record->policy);

    if (renewal) {
        ngx_pinaud_renew_wish(renewal, record->version,
                              ngx_pinaud_renew_how(record));
    }
}


void
ngx_pinaud_renew_older(ngx_pinaud_record_t *record)
{
    uint64_t               used;
    ngx_pinaud_renewal_t  *renewal;

    renewal = ngx_pinaud_renewal(ngx_pinaud_main_conf(record), record->policy);
    if (renewal == NULL) {
        return;
    }

    used = ngx_pinaud_zone_fact(ngx_pinaud_zone(renewal->conf),
                                &renewal->name, NGX_PINAUD_FACT_USED);

    if (renewal->older != record->version) {
        renewal->older = record->version;
        renewal->older_at = ngx_current_msec;
    }

    /* one of the version that was used, or of a later one, will do */

    if (used > record->version
        && ngx_current_msec - renewal->older_at >= NGX_PINAUD_RENEW_LOST)
    {
        ngx_pinaud_renew_wish(renewal, used - 1, NGX_PINAUD_HOW_REFUSED);
    }
}


/* More than that version is wanted. */

static void
ngx_pinaud_renew_wish(ngx_pinaud_renewal_t *renewal, uint64_t version,
    ngx_pinaud_how_e how)
{
    if (renewal->how == NGX_PINAUD_HOW_NONE || version > renewal->wanted) {
        renewal->wanted = version;
        renewal->how = how;

    } else if (version == renewal->wanted) {
        renewal->how = ngx_max(renewal->how, how);
    }

    if (ngx_current_msec - renewal->told_at >= NGX_PINAUD_RENEW_TELL) {
        renewal->told_how = NGX_PINAUD_HOW_NONE;
    }

    ngx_pinaud_renewal_schedule(renewal);
}


ngx_int_t
ngx_pinaud_renew_join(ngx_pinaud_record_t *record)
{
    ngx_msec_t             waited;
    ngx_pinaud_renewal_t  *renewal;

    renewal = ngx_pinaud_renewal(ngx_pinaud_main_conf(record), record->policy);
    if (renewal == NULL) {
        return NGX_DECLINED;
    }

    if (record->retried
        && ngx_current_msec - renewal->read < NGX_PINAUD_RENEW_TELL
        && ngx_pinaud_renewal_newer(renewal, record->version))
    {
        return NGX_OK;
    }

    waited = ngx_current_msec - record->renewing;

    if (waited >= record->refresh_wait) {
        return NGX_DECLINED;
    }

    ngx_pinaud_request_patience(record, record->refresh_wait - waited);

    record->waiter.handler = ngx_pinaud_renew_woken;
    record->renewal = renewal;
    ngx_queue_insert_tail(&renewal->waiting, &record->waiter.queue);
    record->waiting = 1;

    ngx_pinaud_renewal_schedule(renewal);

    return NGX_AGAIN;
}


static ngx_pinaud_how_e
ngx_pinaud_renew_how(ngx_pinaud_record_t *record)
{
    uint64_t  worked;

    if (record->verdict == NGX_PINAUD_REFUSED_EXPIRED) {
        return NGX_PINAUD_HOW_EXPIRED;
    }

    worked = ngx_pinaud_policy_fact(ngx_pinaud_main_conf(record),
                                    record->policy,
                                    ngx_pinaud_renew_fact(record));

    return (worked >= record->version) ? NGX_PINAUD_HOW_WORKED
                                       : NGX_PINAUD_HOW_REFUSED;
}


/* Which version had another answer than 401 to a request of its kind. */

static ngx_pinaud_fact_e
ngx_pinaud_renew_fact(ngx_pinaud_record_t *record)
{
    return record->write ? NGX_PINAUD_FACT_WRITES_WORKED
                         : NGX_PINAUD_FACT_READS_WORKED;
}


/* The record was read: a request that waits goes on, or waits on. */

static void
ngx_pinaud_renew_woken(ngx_pinaud_waiter_t *waiter, ngx_uint_t ready)
{
    ngx_pinaud_record_t   *record;
    ngx_pinaud_renewal_t  *renewal;

    record = ngx_pinaud_waiter_record(waiter);
    renewal = record->renewal;

    if (ngx_pinaud_renewal_newer(renewal, record->version)) {
        record->waiting = 0;
        ngx_pinaud_request_renewed(record);
        return;
    }

    if (ngx_pinaud_renewal_dead(renewal)) {
        record->waiting = 0;

        if (renewal->state == NGX_PINAUD_STATE_UNKNOWN) {
            record->verdict = NGX_PINAUD_REFUSED_NO_CREDENTIAL;
        }

        record->answered = 1;
        ngx_pinaud_request_answered(record);
        return;
    }

    ngx_queue_insert_tail(&renewal->waiting, &waiter->queue);
}


ngx_uint_t
ngx_pinaud_renew_untold(ngx_pinaud_renewal_t *renewal)
{
    return renewal->how != NGX_PINAUD_HOW_NONE
           && (renewal->told != renewal->wanted
               || renewal->told_how < renewal->how);
}


/* Tells what is wanted, where the record does not have it. */

void
ngx_pinaud_renew_tell(ngx_pinaud_renewal_t *renewal)
{
    if (renewal->how == NGX_PINAUD_HOW_NONE) {
        return;
    }

    if (ngx_pinaud_renewal_dead(renewal)
        || ngx_pinaud_renewal_newer(renewal, renewal->wanted))
    {
        renewal->how = NGX_PINAUD_HOW_NONE;
        return;
    }

    if (renewal->version > renewal->wanted) {
        renewal->wanted = renewal->version;
        renewal->how = NGX_PINAUD_HOW_EXPIRED;
    }

    if (!ngx_pinaud_renew_untold(renewal)
        && (ngx_queue_empty(&renewal->waiting)
            || ngx_current_msec - renewal->told_at < NGX_PINAUD_RENEW_TELL))
    {
        return;
    }

    if (ngx_pinaud_renew_send(renewal) != NGX_OK) {
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(renewal->conf), "wanted");
        return;
    }

    renewal->told = renewal->wanted;
    renewal->told_how = renewal->how;
    renewal->told_at = ngx_current_msec;
}


static ngx_int_t
ngx_pinaud_renew_send(ngx_pinaud_renewal_t *renewal)
{
    u_char              text[NGX_INT64_LEN + sizeof(" refused")];
    size_t              lens[4];
    const char         *args[4];
    ngx_pinaud_call_t  *call;

    args[0] = "HSET";
    lens[0] = 4;
    args[1] = PINAUD_KEY_WANTED;
    lens[1] = sizeof(PINAUD_KEY_WANTED) - 1;
    args[2] = (char *) renewal->name.data;
    lens[2] = renewal->name.len;
    args[3] = (char *) text;
    lens[3] = ngx_snprintf(text, sizeof(text), "%uL %s", renewal->wanted,
                           ngx_pinaud_hows[renewal->how])
              - text;

    call = ngx_alloc(sizeof(ngx_pinaud_call_t), ngx_cycle->log);
    if (call == NULL) {
        return NGX_ERROR;
    }

    call->handler = ngx_pinaud_renew_told;
    call->data = renewal->conf;

    if (ngx_pinaud_redis_send(renewal->conf->worker->redis, call, 4, args,
                              lens)
        != NGX_OK)
    {
        ngx_free(call);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_pinaud_renew_told(ngx_pinaud_call_t *call, redisReply *reply)
{
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = call->data;

    if (reply && reply->type == REDIS_REPLY_ERROR) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "pinaud: store may not be told that a newer token is "
                      "wanted");
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), "wanted");
    }

    ngx_free(call);
}
