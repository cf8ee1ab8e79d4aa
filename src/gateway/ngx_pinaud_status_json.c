
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The status document as JSON, with the numbers that Prometheus gets.
 */


#include "ngx_pinaud_status.h"


static json_t *ngx_pinaud_status_document_requests(
    ngx_pinaud_counters_t *counters);
static json_t *ngx_pinaud_status_document_would_refuse(
    ngx_pinaud_counters_t *counters);
static json_t *ngx_pinaud_status_document_errors(
    ngx_pinaud_counters_t *counters);
static json_t *ngx_pinaud_status_document_counts(ngx_pinaud_count_t *counts,
    ngx_uint_t n);
static json_t *ngx_pinaud_status_document_credentials(
    ngx_pinaud_counters_t *counters);
static json_t *ngx_pinaud_status_document_credential(
    ngx_pinaud_credential_t *credential);
static json_t *ngx_pinaud_status_document_admission(
    ngx_pinaud_counters_t *counters);
static json_t *ngx_pinaud_status_document_responses(
    ngx_pinaud_counters_t *counters);


/* Packing fails as a whole where one of its parts is NULL. */

json_t *
ngx_pinaud_status_document(ngx_pinaud_counters_t *counters, ngx_uint_t up)
{
    return json_pack("{s:s, s:s, s:{s:b, s:o}, s:o, s:o, s:o, s:o, s:o, s:o, "
                     "s:o}",
                     "version", NGX_PINAUD_VERSION,
                     "nginx", NGINX_VERSION,
                     "store",
                         "up", (int) up,
                         "errors",
                         ngx_pinaud_status_document_counts(
                             counters->store_errors, NGX_PINAUD_STORE_ERRORS),
                     "requests",
                         ngx_pinaud_status_document_requests(counters),
                     "would_refuse",
                         ngx_pinaud_status_document_would_refuse(counters),
                     "errors",
                         ngx_pinaud_status_document_errors(counters),
                     "edits",
                         ngx_pinaud_status_document_counts(counters->edits,
                                                           NGX_PINAUD_EDITS),
                     "admission",
                         ngx_pinaud_status_document_admission(counters),
                     "responses",
                         ngx_pinaud_status_document_responses(counters),
                     "credentials",
                         ngx_pinaud_status_document_credentials(counters));
}


static json_t *
ngx_pinaud_status_document_requests(ngx_pinaud_counters_t *counters)
{
    json_t      *document, *outcomes;
    ngx_uint_t   i, k;

    document = json_object();

    for (i = 0; i < NGX_PINAUD_OPERATIONS; i++) {
        outcomes = json_object();

        for (k = 0; k < NGX_PINAUD_OUTCOMES; k++) {
            json_object_set_new(outcomes, ngx_pinaud_outcome_name(k),
                                json_integer(counters->requests[i][k]));
        }

        json_object_set_new(document, ngx_pinaud_operation_name(i), outcomes);
    }

    return document;
}


static json_t *
ngx_pinaud_status_document_would_refuse(ngx_pinaud_counters_t *counters)
{
    json_t                *document;
    ngx_uint_t             i;
    ngx_pinaud_outcome_e   outcome;

    document = json_object();

    for (i = 0; i < NGX_PINAUD_REPORTS; i++) {
        outcome = ngx_pinaud_reports[i];
        json_object_set_new(document, ngx_pinaud_outcome_name(outcome),
                            json_integer(counters->would_refuse[outcome]));
    }

    return document;
}


static json_t *
ngx_pinaud_status_document_errors(ngx_pinaud_counters_t *counters)
{
    json_t      *document;
    ngx_uint_t   i;

    document = json_object();

    for (i = 0; i < PINAUD_ERROR_CODES; i++) {
        json_object_set_new(document, pinaud_error_name(i),
                            json_integer(counters->errors[i]));
    }

    return document;
}


static json_t *
ngx_pinaud_status_document_counts(ngx_pinaud_count_t *counts, ngx_uint_t n)
{
    char         name[PINAUD_NAME_MAX + 1];
    json_t      *document;
    ngx_uint_t   i;

    document = json_object();

    for (i = 0; i < n; i++) {

        if (counts[i].named.len) {
            ngx_cpystrn((u_char *) name, counts[i].named.name,
                        counts[i].named.len + 1);
            json_object_set_new(document, name,
                                json_integer(counts[i].value));
        }
    }

    return document;
}


static json_t *
ngx_pinaud_status_document_credentials(ngx_pinaud_counters_t *counters)
{
    char                      name[PINAUD_NAME_MAX + 1];
    json_t                   *document;
    ngx_uint_t                i;
    ngx_pinaud_credential_t  *credential;

    document = json_object();

    for (i = 0; i < NGX_PINAUD_CREDENTIALS; i++) {
        credential = &counters->credentials[i];

        if (ngx_pinaud_zone_in_use(credential)) {
            ngx_cpystrn((u_char *) name, credential->named.name,
                        credential->named.len + 1);
            json_object_set_new(document, name,
                         ngx_pinaud_status_document_credential(credential));
        }
    }

    return document;
}


/* What is not known is left out. */

static json_t *
ngx_pinaud_status_document_credential(ngx_pinaud_credential_t *credential)
{
    json_t             *document;
    ngx_uint_t          i;
    ngx_atomic_uint_t   state;

    static const struct {
        ngx_pinaud_fact_e   fact;
        const char         *member;
    } times[] = {
        { NGX_PINAUD_FACT_EXPIRES, "access_token_expires" },
        { NGX_PINAUD_FACT_REFRESH_EXPIRES, "refresh_token_expires" }
    };

    document = json_object();

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {

        if (credential->facts[times[i].fact]) {
            json_object_set_new(document, times[i].member,
                                json_integer(
                                    credential->facts[times[i].fact]));
        }
    }

    state = credential->facts[NGX_PINAUD_FACT_STATE];

    if (state) {
        json_object_set_new(document, "state",
                            json_string(ngx_pinaud_state_name(state)));
    }

    return document;
}


static json_t *
ngx_pinaud_status_document_admission(ngx_pinaud_counters_t *counters)
{
    json_t             *buckets;
    ngx_uint_t          i;
    ngx_atomic_uint_t   count;

    buckets = json_object();
    count = 0;

    for (i = 0; i < NGX_PINAUD_BUCKETS; i++) {
        count += counters->admission[i];
        json_object_set_new(buckets, ngx_pinaud_buckets[i].le,
                            json_integer(count));
    }

    count += counters->admission[NGX_PINAUD_BUCKETS];
    json_object_set_new(buckets, "+Inf", json_integer(count));

    return json_pack("{s:I, s:f, s:o}",
                     "count", (json_int_t) count,
                     "seconds", (double) counters->admission_us / 1000000,
                     "buckets", buckets);
}


static json_t *
ngx_pinaud_status_document_responses(ngx_pinaud_counters_t *counters)
{
    char         code[NGX_INT_T_LEN];
    json_t      *document;
    ngx_uint_t   i;

    document = json_object();

    for (i = 0; i < NGX_PINAUD_STATUSES; i++) {

        if (counters->responses[i]) {
            ngx_sprintf((u_char *) code, "%ui%Z", NGX_PINAUD_STATUS_MIN + i);
            json_object_set_new(document, code,
                                json_integer(counters->responses[i]));
        }
    }

    return document;
}
