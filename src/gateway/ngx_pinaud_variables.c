
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Variables: what a request's record tells, for logs and conditions.
 */


#include "ngx_pinaud.h"


typedef enum {
    NGX_PINAUD_QUOTA_LIMIT = 0,
    NGX_PINAUD_QUOTA_REMAINING,
    NGX_PINAUD_QUOTA_RESET
} ngx_pinaud_quota_e;


static ngx_int_t ngx_pinaud_variable_outcome(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pinaud_variable_would_refuse(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pinaud_variable_operation(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pinaud_variable_text(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pinaud_variable_credential(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pinaud_variable_audience_type(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pinaud_variable_quota(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pinaud_variable_count(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pinaud_variable_redis_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pinaud_variable_set(ngx_http_variable_value_t *v,
    const u_char *data, size_t len);
static ngx_int_t ngx_pinaud_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_uint_t number);
static ngx_int_t ngx_pinaud_variable_not_found(ngx_http_variable_value_t *v);


/* All of them change while a request goes on. */

static ngx_http_variable_t  ngx_pinaud_variables[] = {

    { ngx_string("pinaud_outcome"), NULL, ngx_pinaud_variable_outcome,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_would_refuse"), NULL,
      ngx_pinaud_variable_would_refuse,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_operation"), NULL, ngx_pinaud_variable_operation,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_account"), NULL, ngx_pinaud_variable_text,
      offsetof(ngx_pinaud_record_t, account), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_team"), NULL, ngx_pinaud_variable_text,
      offsetof(ngx_pinaud_record_t, team), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_credential"), NULL, ngx_pinaud_variable_credential,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_audience_type"), NULL,
      ngx_pinaud_variable_audience_type,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_quota_limit"), NULL, ngx_pinaud_variable_quota,
      NGX_PINAUD_QUOTA_LIMIT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_quota_remaining"), NULL, ngx_pinaud_variable_quota,
      NGX_PINAUD_QUOTA_REMAINING, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_quota_reset"), NULL, ngx_pinaud_variable_quota,
      NGX_PINAUD_QUOTA_RESET, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_edits"), NULL, ngx_pinaud_variable_count,
      offsetof(ngx_pinaud_record_t, nedits), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_errors"), NULL, ngx_pinaud_variable_count,
      offsetof(ngx_pinaud_record_t, nerrors), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pinaud_redis_time"), NULL, ngx_pinaud_variable_redis_time,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_pinaud_variables_add(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_pinaud_variables; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pinaud_variable_outcome(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char           *name;
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_record(r->main);

    if (record == NULL) {
        return ngx_pinaud_variable_not_found(v);
    }

    name = ngx_pinaud_outcome_name(record->outcome);

    return ngx_pinaud_variable_set(v, (u_char *) name, ngx_strlen(name));
}


static ngx_int_t
ngx_pinaud_variable_would_refuse(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char           *name;
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_record(r->main);

    if (record == NULL || record->would_refuse == NGX_PINAUD_FORWARDED) {
        return ngx_pinaud_variable_not_found(v);
    }

    name = ngx_pinaud_outcome_name(record->would_refuse);

    return ngx_pinaud_variable_set(v, (u_char *) name, ngx_strlen(name));
}


static ngx_int_t
ngx_pinaud_variable_operation(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char           *name;
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_record(r->main);

    if (record == NULL) {
        return ngx_pinaud_variable_not_found(v);
    }

    name = ngx_pinaud_operation_name(record->operation);

    return ngx_pinaud_variable_set(v, (u_char *) name, ngx_strlen(name));
}


static ngx_int_t
ngx_pinaud_variable_text(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t            *text;
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_record(r->main);

    if (record == NULL) {
        return ngx_pinaud_variable_not_found(v);
    }

    text = (ngx_str_t *) ((u_char *) record + data);

    return ngx_pinaud_variable_set(v, text->data, text->len);
}


static ngx_int_t
ngx_pinaud_variable_credential(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char               *p;
    ngx_pinaud_policy_t  *policy;
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_record(r->main);

    if (record == NULL || record->policy == NULL) {
        return ngx_pinaud_variable_not_found(v);
    }

    policy = record->policy;

    if (policy->credential_len == 0) {
        return ngx_pinaud_variable_not_found(v);
    }

    /* a value may be used after the record lets its policy go */

    p = ngx_pnalloc(r->pool, policy->credential_len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, policy->credential, policy->credential_len);

    return ngx_pinaud_variable_set(v, p, policy->credential_len);
}


static ngx_int_t
ngx_pinaud_variable_audience_type(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char           *name;
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_record(r->main);

    if (record == NULL || record->type == PINAUD_TYPE_NONE) {
        return ngx_pinaud_variable_not_found(v);
    }

    name = pinaud_audience_type_name(record->type);

    return ngx_pinaud_variable_set(v, (u_char *) name, ngx_strlen(name));
}


static ngx_int_t
ngx_pinaud_variable_quota(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_pinaud_limit_t   *limit;
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_record(r->main);

    if (record == NULL) {
        return ngx_pinaud_variable_not_found(v);
    }

    limit = ngx_pinaud_limit_tightest(record);

    if (limit == NULL) {
        return ngx_pinaud_variable_not_found(v);
    }

    switch (data) {

    case NGX_PINAUD_QUOTA_LIMIT:
        return ngx_pinaud_variable_number(r, v, limit->n);

    case NGX_PINAUD_QUOTA_REMAINING:
        return ngx_pinaud_variable_number(r, v, limit->remaining);

    default: /* NGX_PINAUD_QUOTA_RESET */
        return ngx_pinaud_variable_number(r, v, (limit->reset + 999) / 1000);
    }
}


static ngx_int_t
ngx_pinaud_variable_count(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_record(r->main);

    if (record == NULL || !record->create) {
        return ngx_pinaud_variable_not_found(v);
    }

    return ngx_pinaud_variable_number(r, v,
                              *(ngx_uint_t *) ((u_char *) record + data));
}


/* In microseconds, since most admissions take less than one millisecond. */

static ngx_int_t
ngx_pinaud_variable_redis_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char               *p, *last;
    ngx_pinaud_record_t  *record;

    record = ngx_pinaud_record(r->main);

    if (record == NULL || record->took == 0) {
        return ngx_pinaud_variable_not_found(v);
    }

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN + sizeof(".000000") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = ngx_sprintf(p, "%ui.%06ui", record->took / 1000000,
                       record->took % 1000000);

    return ngx_pinaud_variable_set(v, p, last - p);
}


static ngx_int_t
ngx_pinaud_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_uint_t number)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_pinaud_variable_set(v, p, ngx_sprintf(p, "%ui", number) - p);
}


/* No value is not found, so that logs have "-" for it. */

static ngx_int_t
ngx_pinaud_variable_set(ngx_http_variable_value_t *v, const u_char *data,
    size_t len)
{
    if (len == 0) {
        return ngx_pinaud_variable_not_found(v);
    }

    v->len = len;
    v->data = (u_char *) data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_pinaud_variable_not_found(ngx_http_variable_value_t *v)
{
    v->not_found = 1;

    return NGX_OK;
}
