
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The life of a request, in PRECONTENT: match, cheap checks, body, admission,
 * and on to proxy_pass. The handler is entered again whenever what it waited
 * for is there; the record's stage tells where it goes on.
 */


#include "ngx_pinaud.h"


static ngx_int_t ngx_pinaud_request_begin(ngx_http_request_t *r,
    ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_request_go_on(ngx_http_request_t *r,
    ngx_pinaud_record_t *record);
static void ngx_pinaud_request_body(ngx_http_request_t *r);
static ngx_int_t ngx_pinaud_request_check(ngx_http_request_t *r,
    ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_request_identify(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_request_caller(ngx_http_request_t *r,
    ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_request_admit(ngx_http_request_t *r,
    ngx_pinaud_record_t *record);
static void ngx_pinaud_request_clock(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_request_admitted(ngx_http_request_t *r,
    ngx_pinaud_record_t *record);
static ngx_uint_t ngx_pinaud_request_refused_before(
    ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_request_retry(ngx_http_request_t *r);
static ngx_int_t ngx_pinaud_request_renew(ngx_http_request_t *r,
    ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_request_refused(ngx_http_request_t *r,
    ngx_int_t rc);


ngx_int_t
ngx_pinaud_request_handler(ngx_http_request_t *r)
{
    ngx_pinaud_record_t    *record;
    ngx_pinaud_loc_conf_t  *plcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    plcf = ngx_http_get_module_loc_conf(r, ngx_pinaud_module);

    if (!plcf->enable && !plcf->retry) {
        return NGX_DECLINED;
    }

    record = ngx_http_get_module_ctx(r, ngx_pinaud_module);

    if (record) {
        return ngx_pinaud_request_go_on(r, record);
    }

    if (plcf->retry) {
        return ngx_pinaud_request_retry(r);
    }

    if (ngx_pinaud_record(r)) {

        /* one request is admitted once: no error_page may bring it again */

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "pinaud: internal redirect of a request that was "
                      "decided before");

        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    record = ngx_pinaud_record_create(r);
    if (record == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_set_ctx(r, record, ngx_pinaud_module);

    record->refresh_wait = plcf->refresh_wait;
    record->quota_wait = plcf->quota_wait;

    return ngx_pinaud_request_begin(r, record);
}


static ngx_int_t
ngx_pinaud_request_begin(ngx_http_request_t *r, ngx_pinaud_record_t *record)
{
    ngx_int_t  rc;

    rc = ngx_pinaud_match(record);

    if (rc == NGX_DECLINED && record->write && !record->create) {

        /* the body is proxy_pass's to read: it may be a stream of any size */

        return ngx_pinaud_request_check(r, record);
    }

    if (rc == NGX_DECLINED) {
        record->stage = NGX_PINAUD_STAGE_BODY;

        rc = ngx_http_read_client_request_body(r, ngx_pinaud_request_body);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            return rc;
        }

        ngx_http_finalize_request(r, NGX_DONE);

        return NGX_DONE;
    }

    return ngx_pinaud_request_refused(r, rc);
}


static void
ngx_pinaud_request_body(ngx_http_request_t *r)
{
    ngx_pinaud_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_pinaud_module);
    record->stage = NGX_PINAUD_STAGE_CHECK;

    r->preserve_body = 1;

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


static ngx_int_t
ngx_pinaud_request_go_on(ngx_http_request_t *r, ngx_pinaud_record_t *record)
{
    switch (record->stage) {

    case NGX_PINAUD_STAGE_CHECK:
        return record->waiting ? NGX_AGAIN
                               : ngx_pinaud_request_check(r, record);

    case NGX_PINAUD_STAGE_CALLER:
        return record->waiting ? NGX_AGAIN
                               : ngx_pinaud_request_caller(r, record);

    case NGX_PINAUD_STAGE_ADMIT:

        if (record->answered) {
            return ngx_pinaud_request_admitted(r, record);
        }

        return NGX_AGAIN;

    case NGX_PINAUD_STAGE_RENEW:

        if (record->answered) {
            return ngx_pinaud_request_refused(r,
                                          ngx_pinaud_refuse_admission(record));
        }

        return NGX_AGAIN;

    case NGX_PINAUD_STAGE_GO:
        return NGX_DECLINED;

    default:
        return NGX_DONE;
    }
}


static ngx_int_t
ngx_pinaud_request_check(ngx_http_request_t *r, ngx_pinaud_record_t *record)
{
    ngx_int_t                   rc;
    ngx_pinaud_loc_conf_t      *plcf;
    pinaud_audience_verdict_t  *verdict;

    plcf = ngx_http_get_module_loc_conf(r, ngx_pinaud_module);

    if (plcf->report && ngx_pinaud_request_identify(record) == NGX_AGAIN) {

        /* which teams are only told what is wrong may go by the team */

        record->stage = NGX_PINAUD_STAGE_CHECK;

        return ngx_pinaud_request_wait(r, record);
    }

    if (ngx_pinaud_report_init(record) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (record->create) {
        rc = ngx_pinaud_body_check(record, &verdict);

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (rc == NGX_DECLINED && !record->report) {
            return ngx_pinaud_request_refused(r,
                       ngx_pinaud_refuse(record, PINAUD_PROBLEM_INVALID_BODY,
                                         NULL, verdict));
        }

        if (rc == NGX_DECLINED) {
            ngx_pinaud_report_body(record, verdict);
        }
    }

    return ngx_pinaud_request_caller(r, record);
}


/* Looks up the team key, if there is one to look up. */

static ngx_int_t
ngx_pinaud_request_identify(ngx_pinaud_record_t *record)
{
    if (record->team_key.len == 0 || record->identified) {
        return NGX_OK;
    }

    ngx_pinaud_request_clock(record);

    return ngx_pinaud_caller_ask(record);
}


static ngx_int_t
ngx_pinaud_request_caller(ngx_http_request_t *r, ngx_pinaud_record_t *record)
{
    record->stage = NGX_PINAUD_STAGE_CALLER;

    if (ngx_pinaud_request_identify(record) == NGX_AGAIN) {
        return ngx_pinaud_request_wait(r, record);
    }

    if (record->team.len == 0) {
        record->took += ngx_pinaud_usec() - record->began;

        return ngx_pinaud_request_refused(r,
                                          ngx_pinaud_refuse_admission(record));
    }

    if (!pinaud_is_name(record->team.data, record->team.len)) {
        return ngx_pinaud_request_refused(r,
                   ngx_pinaud_refuse(record, PINAUD_PROBLEM_FORBIDDEN, NULL,
                                     NULL));
    }

    return ngx_pinaud_request_admit(r, record);
}


/* What the look-up of a team key took is part of the time there is. */

static ngx_int_t
ngx_pinaud_request_admit(ngx_http_request_t *r, ngx_pinaud_record_t *record)
{
    ngx_msec_t  waited;

    if (record->team_key.len && record->stage == NGX_PINAUD_STAGE_CALLER) {
        waited = ngx_current_msec - record->asked;
        record->patience = (waited < record->patience)
                           ? record->patience - waited : 1;
        record->answered = 0;

    } else {
        ngx_pinaud_request_clock(record);
    }

    record->stage = NGX_PINAUD_STAGE_ADMIT;
    record->arrived = ngx_current_msec;

    if (ngx_pinaud_admission_ask(record) == NGX_AGAIN) {
        return ngx_pinaud_request_wait(r, record);
    }

    return ngx_pinaud_request_admitted(r, record);
}


/* From now on the store is asked. */

static void
ngx_pinaud_request_clock(ngx_pinaud_record_t *record)
{
    record->answered = 0;
    record->tries = 0;
    record->asked = ngx_current_msec;
    record->began = ngx_pinaud_usec();

    ngx_pinaud_request_patience(record,
                               ngx_pinaud_main_conf(record)->store.timeout);
}


void
ngx_pinaud_request_ask_again(ngx_pinaud_record_t *record)
{
    ngx_pinaud_request_clock(record);

    if (ngx_pinaud_admission_ask(record) == NGX_OK) {
        ngx_pinaud_request_answered(record);
    }
}


void
ngx_pinaud_request_renewed(ngx_pinaud_record_t *record)
{
    record->stage = NGX_PINAUD_STAGE_ADMIT;
    record->arrived = ngx_current_msec;

    ngx_pinaud_request_ask_again(record);
}


static ngx_int_t
ngx_pinaud_request_admitted(ngx_http_request_t *r,
    ngx_pinaud_record_t *record)
{
    uint64_t   took;
    ngx_int_t  rc;

    took = ngx_pinaud_usec() - record->began;
    record->took += took;
    ngx_pinaud_zone_admission(ngx_pinaud_zone(ngx_pinaud_main_conf(record)),
                              took);

    if (record->verdict == NGX_PINAUD_REFUSED_QUOTA && record->report) {
        ngx_pinaud_report_quota(record);
        record->verdict = NGX_PINAUD_ADMITTED;
    }

    if (record->verdict == NGX_PINAUD_REFUSED_EXPIRED) {
        ngx_pinaud_renew_want(record);

        return ngx_pinaud_request_renew(r, record);
    }

    if (record->older) {
        ngx_pinaud_renew_older(record);
    }

    if (record->verdict == NGX_PINAUD_ADMITTED && record->retried
        && ngx_pinaud_request_refused_before(record))
    {
        /* its charge is given back: what the limits tell is not so */

        record->verdict = NGX_PINAUD_REFUSED_REVOKED;
        record->nlimits = 0;
    }

    if (record->verdict != NGX_PINAUD_ADMITTED) {
        return ngx_pinaud_request_refused(r,
                                          ngx_pinaud_refuse_admission(record));
    }

    if (record->dry_run) {
        rc = ngx_pinaud_answer_dry_run(record);
        return ngx_pinaud_request_refused(r, rc);
    }

    if ((record->create || !record->write)
        && ngx_pinaud_body_replace(record) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    record->version_sent = record->version;
    record->armed = 1;
    record->stage = NGX_PINAUD_STAGE_GO;

    return NGX_DECLINED;
}


/* Whether the token is still the one that Pinterest refused. */

static ngx_uint_t
ngx_pinaud_request_refused_before(ngx_pinaud_record_t *record)
{
    ngx_pinaud_policy_t  *policy;

    policy = record->policy;

    return record->version <= record->version_sent
           && ngx_memn2cmp(policy->credential, record->refused_by.data,
                           policy->credential_len, record->refused_by.len)
              == 0;
}


/*
 * The location that "error_page 401" leads to. Only a request that was
 * admitted, and that Pinterest itself answered with 401, is sent once more,
 * with a newer token; any other 401 stays what it is.
 */

static ngx_int_t
ngx_pinaud_request_retry(ngx_http_request_t *r)
{
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_record(r);

    if (record == NULL || !record->refused || record->retried) {
        return NGX_HTTP_UNAUTHORIZED;
    }

    ngx_http_set_ctx(r, record, ngx_pinaud_module);

    /* the answer's status is the second attempt's, or our refusal's */

    r->err_status = 0;

    if (r->request_body_no_buffering) {

        /* the body went by as it came: there is none to send again */

        return ngx_pinaud_request_refused(r,
                   ngx_pinaud_refuse(record,
                                     PINAUD_PROBLEM_CREDENTIAL_UNAVAILABLE,
                                     NULL, NULL));
    }

    record->refused_by.len = record->policy->credential_len;
    record->refused_by.data = ngx_pnalloc(r->pool, record->refused_by.len);
    if (record->refused_by.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(record->refused_by.data, record->policy->credential,
               record->refused_by.len);

    record->attempts = r->upstream_states->nelts;
    record->verdict = NGX_PINAUD_REFUSED_REVOKED;
    record->retried = 1;
    record->refused = 0;
    record->sent = 0;

    if (record->refresh_wait == 0) {

        /* no waiting, but a newer token may be there */

        return ngx_pinaud_request_admit(r, record);
    }

    return ngx_pinaud_request_renew(r, record);
}


/* The token is no good: waits for a newer one, where it may. */

static ngx_int_t
ngx_pinaud_request_renew(ngx_http_request_t *r, ngx_pinaud_record_t *record)
{
    if (record->renewal == NULL) {
        record->renewing = ngx_current_msec;
    }

    switch (ngx_pinaud_renew_join(record)) {

    case NGX_AGAIN:
        record->stage = NGX_PINAUD_STAGE_RENEW;
        record->answered = 0;

        return ngx_pinaud_request_wait(r, record);

    case NGX_OK:
        return ngx_pinaud_request_admit(r, record);

    default:
        return ngx_pinaud_request_refused(r,
                                          ngx_pinaud_refuse_admission(record));
    }
}


/* The answer is sent: gives the request to nginx to end it. */

static ngx_int_t
ngx_pinaud_request_refused(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}
