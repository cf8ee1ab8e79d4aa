
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the fields of a write say: the type of its body, and what must not be
 * passed over.
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


static void ngx_pinaud_match_walk(ngx_http_request_t *r,
    ngx_pinaud_match_fields_t *fields);
static ngx_uint_t ngx_pinaud_match_json(ngx_str_t *type);
static u_char *ngx_pinaud_match_parameter(u_char *p, u_char *last,
    ngx_uint_t *utf8);
static ngx_uint_t ngx_pinaud_match_token(u_char ch);


ngx_int_t
ngx_pinaud_match_fields(ngx_pinaud_record_t *record)
{
    ngx_pinaud_match_fields_t  fields;

    ngx_memzero(&fields, sizeof(ngx_pinaud_match_fields_t));

    ngx_pinaud_match_walk(record->request, &fields);

    if (record->create && (fields.content_types != 1
                           || !ngx_pinaud_match_json(&fields.content_type)))
    {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                                 "one Content-Type: application/json, in "
                                 "UTF-8, is required", NULL);
    }

    if (fields.content_types > 1) {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                                 "one Content-Type is allowed", NULL);
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

    if (!record->create) {
        return ngx_pinaud_refuse(record, PINAUD_PROBLEM_INVALID_BODY,
                                 "Pinaud-Dry-Run is for creates of audiences: "
                                 "this call would be carried out", NULL);
    }

    record->dry_run = 1;

    return NGX_DECLINED;
}


static void
ngx_pinaud_match_walk(ngx_http_request_t *r, ngx_pinaud_match_fields_t *fields)
{
    ngx_table_elt_t    *h;
    ngx_pinaud_walk_t   walk;

    ngx_pinaud_walk(&walk, &r->headers_in.headers);

    while ((h = ngx_pinaud_walk_next(&walk)) != NULL) {

        if (ngx_pinaud_walk_is(h, "Content-Type", 12)) {
            fields->content_types++;
            fields->content_type = h->value;

        } else if (ngx_pinaud_walk_is(h, "Content-Encoding", 16)) {

            if (h->value.len != 8
                || ngx_strncasecmp(h->value.data, (u_char *) "identity", 8)
                   != 0)
            {
                fields->encoded = 1;
            }

        } else if (ngx_pinaud_walk_is(h, "Idempotency-Key", 15)) {
            fields->idempotency_key = 1;

        } else if (ngx_pinaud_walk_is(h, "Pinaud-Dry-Run", 14)) {

            /* a repeated field is no boolean */

            fields->dry_run = h->value;
            fields->dry_runs++;

            if (h->value.len == 0 || fields->dry_runs > 1) {
                ngx_str_set(&fields->dry_run, "?");
            }
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
        || !ngx_pinaud_alike(p, NGX_PINAUD_JSON, sizeof(NGX_PINAUD_JSON) - 1))
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
