
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What is decided before the body is asked for: the call, the account and the
 * caller. What the request's fields say is in ngx_pinaud_match_fields.c.
 */


#include "ngx_pinaud.h"


/* With passthrough. These are nginx's bits, others are not forwarded. */

#define NGX_PINAUD_READS    (NGX_HTTP_GET|NGX_HTTP_HEAD)
#define NGX_PINAUD_WRITES   (NGX_HTTP_POST|NGX_HTTP_PUT|NGX_HTTP_PATCH       \
                             |NGX_HTTP_DELETE)


static ngx_pinaud_operation_e ngx_pinaud_match_operation(
    ngx_http_request_t *r, pinaud_path_e kind);
static ngx_int_t ngx_pinaud_match_call(ngx_pinaud_record_t *record,
    ngx_pinaud_loc_conf_t *plcf);
static ngx_int_t ngx_pinaud_match_other(ngx_pinaud_record_t *record,
    ngx_pinaud_loc_conf_t *plcf);
static ngx_int_t ngx_pinaud_match_method(ngx_pinaud_record_t *record,
    ngx_uint_t methods, const char *allow);
static ngx_int_t ngx_pinaud_match_caller(ngx_pinaud_record_t *record,
    ngx_pinaud_loc_conf_t *plcf);


/*
 * Reads the raw target, less the location's prefix where the path that
 * Pinterest knows begins behind it.
 */

void
ngx_pinaud_match_path(ngx_pinaud_record_t *record)
{
    size_t                     prefix;
    ngx_str_t                  target;
    pinaud_path_t              path;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = record->request;
    target = r->unparsed_uri;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    prefix = clcf->name.len;

    if (prefix && clcf->name.data[prefix - 1] == '/') {
        prefix--;
    }

    if (target.len > prefix + 4
        && ngx_strncmp(target.data, "/v5/", 4) != 0
        && ngx_strncmp(target.data, clcf->name.data, prefix) == 0
        && ngx_strncmp(target.data + prefix, "/v5/", 4) == 0)
    {
        target.data += prefix;
        target.len -= prefix;
    }

    pinaud_path_read(target.data, target.len, &path);

    record->path = target;
    record->method = r->method_name;
    record->kind = path.kind;
    record->query = path.query;
    record->account.data = (u_char *) path.account;
    record->account.len = path.account_len;

    record->operation = ngx_pinaud_match_operation(r, path.kind);

    record->create = (record->operation == NGX_PINAUD_CREATE_CUSTOM
                      || record->operation == NGX_PINAUD_CREATE);

    record->write = (record->create
                     || (record->operation == NGX_PINAUD_OTHER
                         && path.kind <= PINAUD_PATH_ACCOUNT
                         && (r->method & NGX_PINAUD_WRITES)));
}


/*
 * What is not a call of these, by its method, is another one where such are
 * let through; else it is this one by a wrong method.
 */

static ngx_pinaud_operation_e
ngx_pinaud_match_operation(ngx_http_request_t *r, pinaud_path_e kind)
{
    ngx_uint_t              others;
    ngx_pinaud_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_pinaud_module);
    others = (plcf->passthrough == NGX_PINAUD_PASSTHROUGH_ON);

    switch (kind) {

    case PINAUD_PATH_CREATE_CUSTOM:

        if (r->method == NGX_HTTP_POST || !others) {
            return NGX_PINAUD_CREATE_CUSTOM;
        }

        break;

    case PINAUD_PATH_AUDIENCES:

        if (r->method == NGX_HTTP_POST) {
            return NGX_PINAUD_CREATE;
        }

        if (r->method == NGX_HTTP_GET || !others) {
            return NGX_PINAUD_LIST;
        }

        break;

    case PINAUD_PATH_AUDIENCE:

        if (r->method == NGX_HTTP_GET || !others) {
            return NGX_PINAUD_GET;
        }

        break;

    default:
        break;
    }

    return NGX_PINAUD_OTHER;
}


ngx_int_t
ngx_pinaud_match(ngx_pinaud_record_t *record)
{
    ngx_int_t               rc;
    ngx_pinaud_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(record->request, ngx_pinaud_module);

    if (plcf->team_key
        && ngx_pinaud_caller_key(record, plcf->team_key) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_pinaud_match_call(record, plcf);

    if (rc == NGX_DECLINED) {
        rc = ngx_pinaud_match_caller(record, plcf);
    }

    if (rc == NGX_DECLINED && record->write) {
        rc = ngx_pinaud_match_fields(record);
    }

    return rc;
}


static ngx_int_t
ngx_pinaud_match_call(ngx_pinaud_record_t *record,
    ngx_pinaud_loc_conf_t *plcf)
{
    ngx_int_t    rc;
    ngx_uint_t   reads;
    const char  *detail;

    if (record->operation == NGX_PINAUD_OTHER
        && record->kind <= PINAUD_PATH_ACCOUNT)
    {
        return ngx_pinaud_match_other(record, plcf);
    }

    reads = (plcf->passthrough != NGX_PINAUD_PASSTHROUGH_OFF);
    detail = NULL;

    switch (record->kind) {

    case PINAUD_PATH_CREATE_CUSTOM:
        rc = ngx_pinaud_match_method(record, NGX_HTTP_POST, "POST");
        break;

    case PINAUD_PATH_AUDIENCES:
        rc = reads ? ngx_pinaud_match_method(record,
                                             NGX_HTTP_GET|NGX_HTTP_POST,
                                             "GET, POST")
                   : ngx_pinaud_match_method(record, NGX_HTTP_POST, "POST");
        break;

    case PINAUD_PATH_AUDIENCE:

        if (reads) {
            rc = ngx_pinaud_match_method(record, NGX_HTTP_GET, "GET");
            break;
        }

        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_NOT_FOUND,
                                 "this gateway does not forward reads", NULL);

    case PINAUD_PATH_INVALID:
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_INVALID_PATH,
                                 "the path must be spelled exactly: "
                                 "/v5/ad_accounts/{1 to 18 digits}/audiences",
                                 NULL);

    case PINAUD_PATH_OAUTH:
        detail = "this gateway holds the tokens: use your team key as access "
                 "token and ask for none";
        /* fall through */

    default:
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_NOT_FOUND, detail,
                                 NULL);
    }

    if (rc == NGX_DECLINED && record->create && record->query) {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_INVALID_PATH,
                                 "a create has no query string", NULL);
    }

    return rc;
}


/* Another call below the account. */

static ngx_int_t
ngx_pinaud_match_other(ngx_pinaud_record_t *record,
    ngx_pinaud_loc_conf_t *plcf)
{
    if (plcf->passthrough != NGX_PINAUD_PASSTHROUGH_ON) {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_NOT_FOUND, NULL, NULL);
    }

    return ngx_pinaud_match_method(record,
                                   NGX_PINAUD_READS|NGX_PINAUD_WRITES,
                                   "GET, HEAD, POST, PUT, PATCH, DELETE");
}


static ngx_int_t
ngx_pinaud_match_method(ngx_pinaud_record_t *record, ngx_uint_t methods,
    const char *allow)
{
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = record->request;

    if (r->method & methods) {
        return NGX_DECLINED;
    }

    value.data = (u_char *) allow;
    value.len = ngx_strlen(allow);

    if (ngx_pinaud_field(r, "Allow", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_pinaud_refuse(record, PINAUD_PROBLEM_METHOD_NOT_ALLOWED, NULL,
                             NULL);
}


static ngx_int_t
ngx_pinaud_match_caller(ngx_pinaud_record_t *record,
    ngx_pinaud_loc_conf_t *plcf)
{
    if (plcf->team
        && ngx_http_complex_value(record->request, plcf->team, &record->team)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (record->team.len == 0 && record->team_key.len == 0) {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_UNKNOWN_CALLER,
                                 "the request names no team that the gateway "
                                 "knows", NULL);
    }

    return NGX_DECLINED;
}
