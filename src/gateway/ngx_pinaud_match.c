
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What is decided before the body is asked for: the call, the account, the
 * caller, and the fields of the request.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_JSON   "application/json"


/* What the request's fields say; one walk over them. */

typedef struct {
    ngx_uint_t   content_types;
    ngx_str_t    content_type;
    ngx_uint_t   encoded;          /* by another coding than identity */
    ngx_uint_t   idempotency_key;
    ngx_uint_t   dry_runs;
    ngx_str_t    dry_run;
} ngx_pinaud_match_fields_t;


static ngx_int_t ngx_pinaud_match_call(ngx_pinaud_record_t *record,
    ngx_pinaud_loc_conf_t *plcf);
static ngx_int_t ngx_pinaud_match_method(ngx_pinaud_record_t *record,
    const char *allow);
static ngx_int_t ngx_pinaud_match_caller(ngx_pinaud_record_t *record,
    ngx_pinaud_loc_conf_t *plcf);
static ngx_int_t ngx_pinaud_match_fields(ngx_pinaud_record_t *record);
static void ngx_pinaud_match_walk(ngx_http_request_t *r,
    ngx_pinaud_match_fields_t *fields);
static ngx_uint_t ngx_pinaud_match_json(ngx_str_t *type);
static u_char *ngx_pinaud_match_parameter(u_char *p, u_char *last,
    ngx_uint_t *utf8);
static ngx_uint_t ngx_pinaud_match_token(u_char ch);


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
    record->kind = path.kind;
    record->query = path.query;
    record->account.data = (u_char *) path.account;
    record->account.len = path.account_len;

    switch (path.kind) {

    case PINAUD_PATH_CREATE_CUSTOM:
        record->operation = NGX_PINAUD_CREATE_CUSTOM;
        record->write = 1;
        break;

    case PINAUD_PATH_AUDIENCES:
        record->write = (r->method == NGX_HTTP_POST);
        record->operation = record->write ? NGX_PINAUD_CREATE
                                          : NGX_PINAUD_LIST;
        break;

    case PINAUD_PATH_AUDIENCE:
        record->operation = NGX_PINAUD_GET;
        break;

    default:
        record->operation = NGX_PINAUD_OTHER;
        break;
    }
}


ngx_int_t
ngx_pinaud_match(ngx_pinaud_record_t *record)
{
    ngx_int_t               rc;
    ngx_pinaud_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(record->request, ngx_pinaud_module);

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

    reads = (plcf->passthrough != NGX_PINAUD_PASSTHROUGH_OFF);
    detail = NULL;

    switch (record->kind) {

    case PINAUD_PATH_CREATE_CUSTOM:
        rc = ngx_pinaud_match_method(record, "POST");
        break;

    case PINAUD_PATH_AUDIENCES:
        rc = ngx_pinaud_match_method(record, reads ? "GET, POST" : "POST");
        break;

    case PINAUD_PATH_AUDIENCE:

        if (reads) {
            rc = ngx_pinaud_match_method(record, "GET");
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

    if (rc == NGX_DECLINED && record->write && record->query) {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_INVALID_PATH,
                                 "a create has no query string", NULL);
    }

    return rc;
}


static ngx_int_t
ngx_pinaud_match_method(ngx_pinaud_record_t *record, const char *allow)
{
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = record->request;

    if ((r->method == NGX_HTTP_POST && ngx_strstr(allow, "POST"))
        || (r->method == NGX_HTTP_GET && ngx_strstr(allow, "GET")))
    {
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
    ngx_str_t                 *value;
    ngx_http_complex_value_t  *cv;

    if (plcf->team) {
        cv = plcf->team;
        value = &record->team;

    } else {
        cv = plcf->team_key;
        value = &record->team_key;
    }

    if (ngx_http_complex_value(record->request, cv, value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value == &record->team_key && value->len >= 7
        && ngx_strncasecmp(value->data, (u_char *) "Bearer ", 7) == 0)
    {
        value->data += 7;
        value->len -= 7;
    }

    if (value->len == 0) {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_UNKNOWN_CALLER,
                                 "no team is told", NULL);
    }

    return NGX_DECLINED;
}


/* The fields of a create, and the length where nginx knows it. */

static ngx_int_t
ngx_pinaud_match_fields(ngx_pinaud_record_t *record)
{
    ngx_pinaud_match_fields_t  fields;

    ngx_memzero(&fields, sizeof(ngx_pinaud_match_fields_t));

    ngx_pinaud_match_walk(record->request, &fields);

    if (fields.content_types != 1
        || !ngx_pinaud_match_json(&fields.content_type))
    {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                                 "one Content-Type: application/json, in "
                                 "UTF-8, is required", NULL);
    }

    if (fields.encoded) {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                                 "no Content-Encoding is supported", NULL);
    }

    if (fields.idempotency_key) {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_INVALID_BODY,
                                 "Idempotency-Key is not supported: without "
                                 "it the request can be sent", NULL);
    }

    if (fields.dry_run.len == 0
        || (fields.dry_run.len == 2
            && ngx_strncmp(fields.dry_run.data, "?0", 2) == 0))
    {
        return NGX_DECLINED;
    }

    if (fields.dry_run.len != 2
        || ngx_strncmp(fields.dry_run.data, "?1", 2) != 0)
    {
        /* whoever meant a dry run must not get an audience made */

        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_INVALID_BODY,
                                 "Pinaud-Dry-Run must be ?1 or ?0", NULL);
    }

    record->dry_run = 1;

    return NGX_DECLINED;
}


static void
ngx_pinaud_match_walk(ngx_http_request_t *r, ngx_pinaud_match_fields_t *fields)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {

            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        switch (h[i].key.len) {

        case sizeof("Content-Type") - 1:

            if (ngx_strncmp(h[i].lowcase_key, "content-type", 12) == 0) {
                fields->content_types++;
                fields->content_type = h[i].value;
            }

            break;

        case sizeof("Content-Encoding") - 1:

            if (ngx_strncmp(h[i].lowcase_key, "content-encoding", 16) == 0
                && !(h[i].value.len == 8
                     && ngx_strncasecmp(h[i].value.data,
                                        (u_char *) "identity", 8)
                        == 0))
            {
                fields->encoded = 1;
            }

            break;

        case sizeof("Idempotency-Key") - 1:

            if (ngx_strncmp(h[i].lowcase_key, "idempotency-key", 15) == 0) {
                fields->idempotency_key = 1;
            }

            break;

        case sizeof("Pinaud-Dry-Run") - 1:

            if (ngx_strncmp(h[i].lowcase_key, "pinaud-dry-run", 14) == 0) {

                /* a repeated field is no boolean */

                fields->dry_run = h[i].value;
                fields->dry_runs++;

                if (h[i].value.len == 0 || fields->dry_runs > 1) {
                    ngx_str_set(&fields->dry_run, "?");
                }
            }

            break;

        default:
            break;
        }
    }
}


/* application/json; parameters are allowed, a charset must be utf-8. */

static ngx_uint_t
ngx_pinaud_match_json(ngx_str_t *type)
{
    u_char      *p, *last;
    ngx_uint_t   utf8;

    p = type->data;
    last = p + type->len;

    if (type->len < sizeof(NGX_PINAUD_JSON) - 1
        || ngx_strncasecmp(p, (u_char *) NGX_PINAUD_JSON,
                           sizeof(NGX_PINAUD_JSON) - 1)
           != 0)
    {
        return 0;
    }

    p += sizeof(NGX_PINAUD_JSON) - 1;

    for ( ;; ) {

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if (p == last) {
            return 1;
        }

        if (*p++ != ';') {
            return 0;
        }

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        /* RFC 9110, 5.6.6: a parameter may be empty */

        if (p == last || *p == ';') {
            continue;
        }

        utf8 = 1;
        p = ngx_pinaud_match_parameter(p, last, &utf8);

        if (p == NULL || !utf8) {
            return 0;
        }
    }
}


/* One name=value or name="value"; NULL where it is malformed. */

static u_char *
ngx_pinaud_match_parameter(u_char *p, u_char *last, ngx_uint_t *utf8)
{
    size_t   len;
    u_char  *name, value[5];

    for (name = p; p < last && ngx_pinaud_match_token(*p); p++) {
        /* void */
    }

    if (p == name || last - p < 2 || *p != '=') {
        return NULL;
    }

    /* the value's first bytes are enough to know "utf-8" */

    if (p - name == 7
        && ngx_strncasecmp(name, (u_char *) "charset", 7) == 0)
    {
        *utf8 = 0;
    }

    len = 0;
    p++;

    if (*p == '"') {

        for (p++; p < last && *p != '"'; p++) {

            if (*p == '\\' && ++p == last) {
                return NULL;
            }

            if (len < sizeof(value)) {
                value[len] = *p;
            }

            len++;
        }

        if (p++ == last) {
            return NULL;
        }

    } else {

        for ( /* void */ ; p < last && ngx_pinaud_match_token(*p); p++) {

            if (len < sizeof(value)) {
                value[len] = *p;
            }

            len++;
        }

        if (len == 0) {
            return NULL;
        }
    }

    if (len == 5 && ngx_strncasecmp(value, (u_char *) "utf-8", 5) == 0) {
        *utf8 = 1;
    }

    return p;
}


/* RFC 9110, 5.6.2 */

static ngx_uint_t
ngx_pinaud_match_token(u_char ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z')
           || (ch >= 'a' && ch <= 'z')
           || (ch != '\0' && ngx_strchr("!#$%&'*+-.^_`|~", ch) != NULL);
}
