
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The response fields of our own.
 */


#include "ngx_pinaud.h"


static ngx_int_t ngx_pinaud_fields_limits(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_fields_pinterest(ngx_pinaud_record_t *record);
static ngx_int_t ngx_pinaud_fields_number(ngx_http_request_t *r,
    const char *name, ngx_uint_t number);
static ngx_pinaud_limit_t *ngx_pinaud_limit_violated(
    ngx_pinaud_record_t *record);


ngx_int_t
ngx_pinaud_fields_add(ngx_pinaud_record_t *record)
{
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = record->request;

    value.data = (u_char *) ngx_pinaud_outcome_name(record->outcome);
    value.len = ngx_strlen(value.data);

    if (ngx_pinaud_field(r, "Pinaud-Outcome", &value) != NGX_OK
        || ngx_pinaud_field(r, "Pinaud-Request-Id", &record->request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (record->write) {

        if (record->should_retry) {
            ngx_str_set(&value, "true");

        } else {
            ngx_str_set(&value, "false");
        }

        if (ngx_pinaud_field(r, "Pinaud-Should-Retry", &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (record->would_refuse != NGX_PINAUD_FORWARDED) {
        value.data = (u_char *) ngx_pinaud_outcome_name(record->would_refuse);
        value.len = ngx_strlen(value.data);

        if (ngx_pinaud_field(r, "Pinaud-Would-Refuse", &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (record->edits.len
        && ngx_pinaud_field(r, "Pinaud-Edits", &record->edits) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (record->retry_after
        && ngx_pinaud_fields_number(r, "Retry-After", record->retry_after)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (record->nlimits == 0) {
        return NGX_OK;
    }

    if (record->outcome == NGX_PINAUD_OVER_QUOTA
        && ngx_pinaud_fields_pinterest(record) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* what Pinterest's limit is, in a cooldown, is not known */

    if (record->limits[0].bucket == NGX_PINAUD_COOLDOWN) {
        return NGX_OK;
    }

    return ngx_pinaud_fields_limits(record);
}


/* draft-ietf-httpapi-ratelimit-headers: a policy for each limit */

static ngx_int_t
ngx_pinaud_fields_limits(ngx_pinaud_record_t *record)
{
    u_char              *p, *q, *name;
    size_t               size;
    ngx_str_t            policy, limits;
    ngx_uint_t           i;
    ngx_pinaud_limit_t  *limit;

    size = record->nlimits * (sizeof("\"\";q=;w=, ") + 2 * NGX_INT_T_LEN
                              + NGX_PINAUD_LIMIT_NAME_MAX);

    policy.data = ngx_pnalloc(record->request->pool, 2 * size);
    if (policy.data == NULL) {
        return NGX_ERROR;
    }

    limits.data = policy.data + size;

    p = policy.data;
    q = limits.data;

    for (i = 0; i < record->nlimits; i++) {
        limit = &record->limits[i];

        if (i) {
            *p++ = ',';
            *p++ = ' ';
            *q++ = ',';
            *q++ = ' ';
        }

        *p++ = '"';
        name = p;
        p = ngx_pinaud_limit_name(p, limit);

        *q++ = '"';
        q = ngx_cpymem(q, name, p - name);
        q = ngx_cpymem(q, "\";r=", 4);
        q = ngx_pinaud_digits(q, limit->remaining);
        q = ngx_cpymem(q, ";t=", 3);
        q = ngx_pinaud_digits(q, (limit->reset + 999) / 1000);

        p = ngx_cpymem(p, "\";q=", 4);
        p = ngx_pinaud_digits(p, limit->n);
        p = ngx_cpymem(p, ";w=", 3);
        p = ngx_pinaud_digits(p, limit->window);
    }

    policy.len = p - policy.data;
    limits.len = q - limits.data;

    if (ngx_pinaud_field(record->request, "RateLimit-Policy", &policy)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pinaud_field(record->request, "RateLimit", &limits);
}


/* A refusal of ours in the form of Pinterest's, by which its clients wait. */

static ngx_int_t
ngx_pinaud_fields_pinterest(ngx_pinaud_record_t *record)
{
    u_char              *p, *end, name[NGX_PINAUD_LIMIT_NAME_MAX];
    ngx_str_t            value;
    ngx_pinaud_limit_t  *limit;

    limit = ngx_pinaud_limit_violated(record);

    if (limit == NULL) {
        return NGX_OK;
    }

    p = ngx_pnalloc(record->request->pool,
                    sizeof(", ;w=;name=\"\"") + 3 * NGX_INT_T_LEN
                    + NGX_PINAUD_LIMIT_NAME_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    end = ngx_pinaud_limit_name(name, limit);

    value.data = p;

    p = ngx_pinaud_digits(p, limit->n);
    *p++ = ',';
    *p++ = ' ';
    p = ngx_pinaud_digits(p, limit->n);
    p = ngx_cpymem(p, ";w=", 3);
    p = ngx_pinaud_digits(p, limit->window);
    p = ngx_cpymem(p, ";name=\"", 7);
    p = ngx_cpymem(p, name, end - name);
    *p++ = '"';

    value.len = p - value.data;

    if ((limit->bucket != NGX_PINAUD_COOLDOWN
         && ngx_pinaud_field(record->request, "x-ratelimit-limit", &value)
            != NGX_OK)
        || ngx_pinaud_fields_number(record->request, "x-ratelimit-remaining",
                                    0)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pinaud_fields_number(record->request, "x-ratelimit-reset",
                                    record->retry_after);
}


static ngx_int_t
ngx_pinaud_fields_number(ngx_http_request_t *r, const char *name,
    ngx_uint_t number)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_pinaud_digits(value.data, number) - value.data;

    return ngx_pinaud_field(r, name, &value);
}


ngx_int_t
ngx_pinaud_field(ngx_http_request_t *r, const char *name, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


u_char *
ngx_pinaud_limit_name(u_char *to, ngx_pinaud_limit_t *limit)
{
    ngx_str_t  bucket;

    switch (limit->bucket) {

    case NGX_PINAUD_COOLDOWN:
        return ngx_cpymem(to, "pinterest", 9);

    case 'w':
        ngx_str_set(&bucket, "credential-");
        break;

    case 'c':
        ngx_str_set(&bucket, "credential-all-");
        break;

    case 'a':
        ngx_str_set(&bucket, "account-");
        break;

    default:
        ngx_str_set(&bucket, "team-");
        break;
    }

    to = ngx_cpymem(to, bucket.data, bucket.len);
    to = ngx_pinaud_digits(to, limit->window);
    *to++ = 's';

    return to;
}


u_char *
ngx_pinaud_digits(u_char *to, uint64_t n)
{
    u_char    *p, *last;
    uint64_t   rest;

    last = to + 1;

    for (rest = n; rest >= 10; rest /= 10) {
        last++;
    }

    p = last;

    do {
        *--p = '0' + n % 10;
        n /= 10;
    } while (p != to);

    return last;
}


ngx_pinaud_limit_t *
ngx_pinaud_limit_tightest(ngx_pinaud_record_t *record)
{
    ngx_uint_t           i;
    ngx_pinaud_limit_t  *limit, *tightest;

    tightest = ngx_pinaud_limit_violated(record);

    if (tightest) {
        return tightest;
    }

    for (i = 0; i < record->nlimits; i++) {
        limit = &record->limits[i];

        if (tightest == NULL || limit->remaining < tightest->remaining) {
            tightest = limit;
        }
    }

    return tightest;
}


/* The violated limit that makes the request wait longest. */

static ngx_pinaud_limit_t *
ngx_pinaud_limit_violated(ngx_pinaud_record_t *record)
{
    ngx_uint_t           i;
    ngx_pinaud_limit_t  *limit, *violated;

    violated = NULL;

    for (i = 0; i < record->nlimits; i++) {
        limit = &record->limits[i];

        if (limit->violated
            && (violated == NULL || limit->reset > violated->reset))
        {
            violated = limit;
        }
    }

    return violated;
}
