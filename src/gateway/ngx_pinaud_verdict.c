
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What an admission answered: the verdict, the limits and the token.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_BEARER     "Authorization: Bearer "

#define NGX_PINAUD_LIMIT_MAX  0x7fffffff   /* of a limit's numbers */

#define NGX_PINAUD_RESERVE    (1 << 4)     /* buckets behind those that have */
#define NGX_PINAUD_SHARED     (1 << 5)     /* limits of their own */


static ngx_int_t ngx_pinaud_verdict_limits(ngx_pinaud_reply_t *reply,
    u_char *p, u_char *last);
static ngx_int_t ngx_pinaud_verdict_number(u_char **pos, u_char *last,
    int64_t *value);
static ngx_int_t ngx_pinaud_verdict_share(ngx_pinaud_record_t *record,
    ngx_pinaud_reply_t *reply);
static ngx_buf_t *ngx_pinaud_verdict_buf(ngx_pinaud_record_t *record,
    size_t len);
static ngx_int_t ngx_pinaud_verdict_open(ngx_pinaud_record_t *record,
    u_char *sealed, size_t sealed_len, ngx_buf_t *b);
static ngx_uint_t ngx_pinaud_verdict_visible(u_char *p, size_t len);


/* Reads admit.lua's reply: see there for its form. */

ngx_int_t
ngx_pinaud_verdict_read(redisReply *from, ngx_pinaud_reply_t *reply)
{
    u_char      *p, *last;
    int64_t      value[4];
    ngx_uint_t   i;
    redisReply  *text;

    if (from->type != REDIS_REPLY_ARRAY || from->elements != 4
        || from->element[0]->type != REDIS_REPLY_STRING
        || from->element[1]->type != REDIS_REPLY_STRING
        || from->element[2]->type != REDIS_REPLY_INTEGER
        || from->element[2]->integer < 0
        || from->element[2]->integer > NGX_PINAUD_BATCH
        || from->element[3]->type != REDIS_REPLY_INTEGER
        || from->element[3]->integer < 0
        || from->element[3]->integer > from->element[2]->integer)
    {
        return NGX_ERROR;
    }

    text = from->element[0];
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

    reply->verdict = value[0];
    reply->now = value[1];
    reply->version = value[2];
    reply->expires = value[3];
    reply->sealed = from->element[1];
    reply->admitted = from->element[2]->integer;
    reply->reserved = from->element[3]->integer;
    reply->token = NULL;
    reply->used = 0;
    reply->older = 0;
    reply->newer = 0;

    return ngx_pinaud_verdict_limits(reply, p, last);
}


static ngx_int_t
ngx_pinaud_verdict_limits(ngx_pinaud_reply_t *reply, u_char *p, u_char *last)
{
    char                *bucket;
    int64_t              value[4];
    ngx_uint_t           i;
    ngx_pinaud_limit_t  *limit;

    static const char  buckets[] = "cwatp";    /* as the keys are; and the
                                                  cooldown, which is none */

    reply->nlimits = 0;
    reply->buckets = 0;

    while (p < last) {

        bucket = ngx_strchr(buckets, *p);

        if (reply->nlimits == NGX_PINAUD_MAX_POLICIES || last - p < 2
            || *p == '\0' || bucket == NULL)
        {
            return NGX_ERROR;
        }

        if (*bucket != NGX_PINAUD_COOLDOWN) {
            reply->buckets |= 1 << (bucket - buckets);
        }

        limit = &reply->limits[reply->nlimits++];
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
        limit->violated = 0;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_pinaud_verdict_buckets(ngx_pinaud_reply_t *reply,
    ngx_pinaud_policy_t *policy, ngx_uint_t i)
{
    if (policy->reserved == 0) {
        return reply->buckets;
    }

    return reply->buckets | (i < reply->reserved ? NGX_PINAUD_RESERVE
                                                 : NGX_PINAUD_SHARED);
}


void
ngx_pinaud_verdict_apply(ngx_pinaud_record_t *record,
    ngx_pinaud_reply_t *reply, ngx_uint_t i)
{
    ngx_uint_t           n;
    ngx_pinaud_limit_t  *limit;

    record->version = reply->version;
    record->verdict = reply->verdict;
    record->older = reply->older;

    if (record->verdict == NGX_PINAUD_ADMITTED && i >= reply->admitted) {
        record->verdict = NGX_PINAUD_REFUSED_QUOTA;
    }

    record->nlimits = reply->nlimits;
    ngx_memcpy(record->limits, reply->limits,
               reply->nlimits * sizeof(ngx_pinaud_limit_t));

    for (n = 0; n < record->nlimits; n++) {
        limit = &record->limits[n];

        if (record->verdict == NGX_PINAUD_ADMITTED) {

            /* what was told is what the last of them left */

            limit->remaining += reply->admitted - 1 - i;

        } else {
            limit->violated = (limit->remaining == 0);
        }
    }

    if (record->verdict != NGX_PINAUD_ADMITTED
        && !(record->verdict == NGX_PINAUD_REFUSED_QUOTA && record->report))
    {
        return;
    }

    if (record->verdict == NGX_PINAUD_ADMITTED && !record->dry_run) {
        record->charged = 1;
        record->charge.at = reply->now;
        record->charge.buckets = ngx_pinaud_verdict_buckets(reply,
                                                            record->policy, i);
    }

    if (reply->older || ngx_pinaud_verdict_share(record, reply) != NGX_OK) {

        /* its charge is given back: what the limits tell is not so */

        record->verdict = NGX_PINAUD_REFUSED_UNREADABLE;
        record->nlimits = 0;
    }
}


/*
 * Each has the token in a buffer of his own, which is wiped when his record
 * goes; it is opened once.
 */

static ngx_int_t
ngx_pinaud_verdict_share(ngx_pinaud_record_t *record,
    ngx_pinaud_reply_t *reply)
{
    ngx_buf_t  *b;

    if (reply->token) {
        b = ngx_pinaud_verdict_buf(record, reply->sealed->len);

        if (b == NULL) {
            return NGX_ERROR;
        }

        b->last = ngx_cpymem(b->pos, reply->token->pos,
                             reply->token->last - reply->token->pos);
        return NGX_OK;
    }

    if (ngx_pinaud_verdict_token(record, (u_char *) reply->sealed->str,
                                 reply->sealed->len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    reply->token = record->token;

    return NGX_OK;
}


ngx_int_t
ngx_pinaud_verdict_token(ngx_pinaud_record_t *record, u_char *sealed,
    size_t len)
{
    ngx_buf_t  *b;

    if (len == 0 || len > NGX_PINAUD_SEALED_MAX) {
        return NGX_ERROR;
    }

    b = ngx_pinaud_verdict_buf(record, len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->last, NGX_PINAUD_BEARER,
                         sizeof(NGX_PINAUD_BEARER) - 1);

    if (ngx_pinaud_verdict_open(record, sealed, len, b) != NGX_OK) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->last, CRLF CRLF, sizeof(CRLF CRLF) - 1);

    return NGX_OK;
}


/* Room for the field as it goes on the wire, in place of what was there. */

static ngx_buf_t *
ngx_pinaud_verdict_buf(ngx_pinaud_record_t *record, size_t len)
{
    ngx_pinaud_token_wipe(record);

    record->token = ngx_create_temp_buf(record->request->pool,
                                        sizeof(NGX_PINAUD_BEARER) - 1 + len
                                        + sizeof(CRLF CRLF) - 1);
    return record->token;
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


/* One decimal number and the space that may follow it. */

static ngx_int_t
ngx_pinaud_verdict_number(u_char **pos, u_char *last, int64_t *value)
{
    u_char   *p, *end;
    int64_t   v;

    p = *pos;
    v = 0;

    /* so many digits are held by 63 bits */

    end = (last - p > 18) ? p + 18 : last;

    while (p < end && *p >= '0' && *p <= '9') {
        v = v * 10 + (*p++ - '0');
    }

    if (p == *pos || (p < last && *p != ' ')) {
        return NGX_ERROR;
    }

    *value = v;
    *pos = (p < last) ? p + 1 : p;

    return NGX_OK;
}


/* Opens the token behind what the buffer holds. */

static ngx_int_t
ngx_pinaud_verdict_open(ngx_pinaud_record_t *record, u_char *sealed,
    size_t sealed_len, ngx_buf_t *b)
{
    size_t                len, aad_len;
    u_char                aad[PINAUD_SEAL_AAD_MAX];
    const char           *reason;
    pinaud_open_e         rc;
    ngx_pinaud_policy_t  *policy;

    policy = record->policy;

    aad_len = pinaud_seal_aad(aad, "access", (char *) policy->credential,
                              policy->credential_len, record->version);

    rc = pinaud_open(ngx_pinaud_main_conf(record)->ring,
                     PINAUD_DOMAIN_GATEWAY, aad, aad_len, sealed, sealed_len,
                     b->last, &len);

    switch (rc) {

    case PINAUD_OPENED:

        if (ngx_pinaud_verdict_visible(b->last, len)) {
            b->last += len;
            return NGX_OK;
        }

        ngx_explicit_memzero(b->last, len);
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

    ngx_log_error(NGX_LOG_ERR, record->request->connection->log, 0,
                  "pinaud: access token of credential \"%*s\" can't be "
                  "opened: %s; \"pinaudctl credential show %*s\" tells what "
                  "to do", policy->credential_len, policy->credential, reason,
                  policy->credential_len, policy->credential);

    return NGX_ERROR;
}


/* Visible ASCII only (RFC 9110, 5.5), so that no token ends its line. */

static ngx_uint_t
ngx_pinaud_verdict_visible(u_char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (p[i] <= 0x20 || p[i] >= 0x7f) {
            return 0;
        }
    }

    return len != 0;
}
