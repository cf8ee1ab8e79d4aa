
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Report mode: what the body and the quota would be refused for is told, to
 * the caller, in the log and in the metrics, and not enforced. Other refusals
 * stand.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_REPORT_MAX  1024        /* bytes of the line's own part */


static void ngx_pinaud_report(ngx_pinaud_record_t *record,
    ngx_pinaud_outcome_e outcome, u_char *text, size_t len, ngx_uint_t more);
static u_char *ngx_pinaud_report_error(u_char *p, u_char *last,
    pinaud_audience_error_t *error);


ngx_int_t
ngx_pinaud_report_init(ngx_pinaud_record_t *record)
{
    ngx_str_t               value;
    ngx_http_request_t     *r;
    ngx_pinaud_loc_conf_t  *plcf;

    r = record->request;
    plcf = ngx_http_get_module_loc_conf(r, ngx_pinaud_module);

    /* who asks for a dry run is told the refusal itself */

    if (plcf->report == NULL || record->dry_run) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, plcf->report, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    record->report = (value.len > 1 || (value.len == 1 && *value.data != '0'));

    return NGX_OK;
}


/* As many of the errors as fit into the line; their details are not told. */

void
ngx_pinaud_report_body(ngx_pinaud_record_t *record,
    pinaud_audience_verdict_t *verdict)
{
    u_char      *p, *next, text[NGX_PINAUD_REPORT_MAX];
    ngx_uint_t   i;

    p = text;

    for (i = 0; i < verdict->nerrors; i++) {
        next = ngx_pinaud_report_error(p, text + sizeof(text),
                                       &verdict->errors[i]);
        if (next == p) {
            break;
        }

        p = next;
    }

    ngx_pinaud_report(record, NGX_PINAUD_INVALID, text, p - text,
                      record->nerrors - i);
}


void
ngx_pinaud_report_quota(ngx_pinaud_record_t *record)
{
    u_char              *p, text[NGX_PINAUD_MAX_POLICIES
                                 * (NGX_PINAUD_LIMIT_NAME_MAX + 2)];
    ngx_uint_t           i;
    ngx_pinaud_limit_t  *limit;

    p = text;

    for (i = 0; i < record->nlimits; i++) {
        limit = &record->limits[i];

        if (limit->violated) {
            *p++ = ',';
            *p++ = ' ';
            p = ngx_pinaud_limit_name(p, limit);
        }
    }

    ngx_pinaud_report(record, NGX_PINAUD_OVER_QUOTA, text, p - text, 0);
}


/* The first verdict counts, as it alone would answer. */

static void
ngx_pinaud_report(ngx_pinaud_record_t *record, ngx_pinaud_outcome_e outcome,
    u_char *text, size_t len, ngx_uint_t more)
{
    u_char  *last, rest[sizeof(" and  more") + NGX_INT_T_LEN];

    if (record->would_refuse != NGX_PINAUD_FORWARDED) {
        return;
    }

    record->would_refuse = outcome;

    ngx_pinaud_zone_would_refuse(ngx_pinaud_zone(ngx_pinaud_main_conf(record)),
                                 outcome);

    last = more ? ngx_sprintf(rest, " and %ui more", more) : rest;

    ngx_log_error(NGX_LOG_WARN, record->request->connection->log, 0,
                  "pinaud: would refuse: %s%*s%*s",
                  ngx_pinaud_outcome_name(outcome), len, text,
                  (size_t) (last - rest), rest);
}


/*
 * Its code and where it is, to p; returns p where there is no room. A pointer
 * has names that the caller chose, which must not look like a line of the log.
 */

static u_char *
ngx_pinaud_report_error(u_char *p, u_char *last,
    pinaud_audience_error_t *error)
{
    u_char      *pointer;
    size_t       len;
    const char  *code;

    code = pinaud_error_name(error->code);
    pointer = (u_char *) error->pointer;

    len = error->pointer_len
          + ngx_escape_json(NULL, pointer, error->pointer_len)
          + sizeof(",  \"\" at byte ") + NGX_INT_T_LEN + ngx_strlen(code);

    if ((size_t) (last - p) < len) {
        return p;
    }

    p = ngx_sprintf(p, ", %s", code);

    if (error->code <= PINAUD_ERROR_DEPTH) {
        return ngx_sprintf(p, " at byte %uz", error->offset);
    }

    *p++ = ' ';
    *p++ = '"';
    p = (u_char *) ngx_escape_json(p, pointer, error->pointer_len);
    *p++ = '"';

    return p;
}
