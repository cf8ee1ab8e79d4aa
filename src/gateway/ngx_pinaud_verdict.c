
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What an admission answered: the verdict, the limits and the token.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_TOKEN_MAX  8192

#define NGX_PINAUD_BEARER     "Authorization: Bearer "

#define NGX_PINAUD_LIMIT_MAX  0x7fffffff   /* of a limit's numbers */


static ngx_int_t ngx_pinaud_verdict_limits(ngx_pinaud_record_t *record,
    u_char *p, u_char *last);
static ngx_int_t ngx_pinaud_verdict_number(u_char **pos, u_char *last,
    int64_t *value);
static ngx_int_t ngx_pinaud_verdict_open(ngx_pinaud_record_t *record,
    redisReply *sealed);
static ngx_uint_t ngx_pinaud_verdict_token(u_char *p, size_t len);


/* Reads admit.lua's reply: see there for its form. */

ngx_int_t
ngx_pinaud_verdict_read(ngx_pinaud_record_t *record, redisReply *reply)
{
    u_char                  *p, *last;
    int64_t                  value[4];
    ngx_str_t                credential;
    ngx_uint_t               i;
    redisReply              *text;
    ngx_pinaud_main_conf_t  *pmcf;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        return NGX_ERROR;
    }

    text = reply->element[0];
    p = (u_char *) text->str;
    last = p + text->len;

    for (i = 0; i < 4; i++) {
        if (ngx_pinaud_verdict_number(&p, last, &value[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (value[0] > NGX_PINAUD_REFUSED_MOVED
        || !ngx_pinaud_redis_clock_valid(value[1]))
    {
        return NGX_ERROR;
    }

    record->verdict = value[0];
    record->version = value[2];

    if (ngx_pinaud_verdict_limits(record, p, last) != NGX_OK) {
        return NGX_ERROR;
    }

    pmcf = ngx_pinaud_main_conf(record);

    ngx_pinaud_redis_clock(pmcf->worker->redis, value[1]);

    if (value[3]) {
        credential.data = record->policy->credential;
        credential.len = record->policy->credential_len;
        ngx_pinaud_zone_credential(ngx_pinaud_zone(pmcf), &credential,
                                   value[3]);
    }

    if (record->verdict != NGX_PINAUD_ADMITTED
        && !(record->verdict == NGX_PINAUD_REFUSED_QUOTA && record->report))
    {
        return NGX_OK;
    }

    if (record->verdict == NGX_PINAUD_ADMITTED && !record->dry_run) {
        record->charged = 1;
        record->charge.at = value[1];
    }

    if (ngx_pinaud_verdict_open(record, reply->element[1]) != NGX_OK) {
        record->verdict = NGX_PINAUD_REFUSED_UNREADABLE;
    }

    return NGX_OK;
}


void
ngx_pinaud_token_wipe(ngx_pinaud_record_t *record)
{
    ngx_buf_t  *b;

    b = record->token;

    if (b) {
        ngx_explicit_memzero(b->start, b->end - b->start);
    }
}


/* Whether a reply that nobody waited for charged, and when. */

ngx_uint_t
ngx_pinaud_verdict_charged(redisReply *reply, int64_t *charged_at)
{
    u_char      *p, *last;
    int64_t      status;
    redisReply  *text;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING)
    {
        return 0;
    }

    text = reply->element[0];
    p = (u_char *) text->str;
    last = p + text->len;

    return ngx_pinaud_verdict_number(&p, last, &status) == NGX_OK
           && ngx_pinaud_verdict_number(&p, last, charged_at) == NGX_OK
           && status == NGX_PINAUD_ADMITTED;
}


static ngx_int_t
ngx_pinaud_verdict_limits(ngx_pinaud_record_t *record, u_char *p,
    u_char *last)
{
    int64_t              value[4];
    ngx_uint_t           i;
    ngx_pinaud_limit_t  *limit;

    record->nlimits = 0;

    while (p < last) {

        if (record->nlimits == NGX_PINAUD_MAX_POLICIES || last - p < 2) {
            return NGX_ERROR;
        }

        limit = &record->limits[record->nlimits++];
        limit->bucket = *p;
        p += 2;

        for (i = 0; i < 4; i++) {
            if (ngx_pinaud_verdict_number(&p, last, &value[i]) != NGX_OK
                || value[i] > NGX_PINAUD_LIMIT_MAX)
            {
                return NGX_ERROR;
            }
        }

        limit->n = value[0];
        limit->window = value[1];
        limit->remaining = value[2];
        limit->reset = value[3];
        limit->violated = (record->verdict == NGX_PINAUD_REFUSED_QUOTA
                           && limit->remaining == 0);
    }

    return NGX_OK;
}


/* One decimal number and the space that may follow it. */

static ngx_int_t
ngx_pinaud_verdict_number(u_char **pos, u_char *last, int64_t *value)
{
    u_char   *p;
    int64_t   v;

    p = *pos;
    v = 0;

    while (p < last && *p >= '0' && *p <= '9') {

        if (v > NGX_MAX_INT_T_VALUE / 10 - 1) {
            return NGX_ERROR;
        }

        v = v * 10 + (*p++ - '0');
    }

    if (p == *pos || (p < last && *p != ' ')) {
        return NGX_ERROR;
    }

    *value = v;
    *pos = (p < last) ? p + 1 : p;

    return NGX_OK;
}


/*
 * Opens the token into a buffer that holds the field as it goes on the wire.
 * The buffer is the record's, and wiped when the record goes.
 */

static ngx_int_t
ngx_pinaud_verdict_open(ngx_pinaud_record_t *record, redisReply *sealed)
{
    size_t                   len, aad_len;
    u_char                  *p, aad[PINAUD_SEAL_AAD_MAX];
    ngx_buf_t               *b;
    const char              *reason;
    pinaud_open_e            rc;
    ngx_http_request_t      *r;
    ngx_pinaud_policy_t     *policy;
    ngx_pinaud_main_conf_t  *pmcf;

    r = record->request;
    policy = record->policy;
    pmcf = ngx_pinaud_main_conf(record);

    if (sealed->len == 0
        || sealed->len > NGX_PINAUD_TOKEN_MAX + PINAUD_SEAL_OVERHEAD)
    {
        return NGX_ERROR;
    }

    ngx_pinaud_token_wipe(record);

    b = ngx_create_temp_buf(r->pool, sizeof(NGX_PINAUD_BEARER) - 1
                                     + sealed->len + sizeof(CRLF CRLF) - 1);
    if (b == NULL) {
        return NGX_ERROR;
    }

    record->token = b;

    aad_len = pinaud_seal_aad(aad, "access", (char *) policy->credential,
                              policy->credential_len, record->version);

    b->last = ngx_cpymem(b->last, NGX_PINAUD_BEARER,
                         sizeof(NGX_PINAUD_BEARER) - 1);
    p = b->last;

    rc = pinaud_open(pmcf->ring, aad, aad_len, (u_char *) sealed->str,
                     sealed->len, p, &len);

    switch (rc) {

    case PINAUD_OPENED:

        if (ngx_pinaud_verdict_token(p, len)) {
            b->last = ngx_cpymem(p + len, CRLF CRLF, sizeof(CRLF CRLF) - 1);
            return NGX_OK;
        }

        ngx_explicit_memzero(p, len);
        reason = "it has bytes that no header field may hold";
        break;

    case PINAUD_SEAL_UNKNOWN_KEY:
        reason = "its key is not in the seal key file";
        break;

    case PINAUD_SEAL_FORGED:
        reason = "it is another record's or was altered";
        break;

    default:
        reason = "it is malformed";
        break;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "pinaud: access token of credential \"%*s\" can't be "
                  "opened: %s", policy->credential_len, policy->credential,
                  reason);

    return NGX_ERROR;
}


/* Visible ASCII only (RFC 9110, 5.5), so that no token ends its line. */

static ngx_uint_t
ngx_pinaud_verdict_token(u_char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (p[i] <= 0x20 || p[i] >= 0x7f) {
            return 0;
        }
    }

    return len != 0;
}
