
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The status document for Prometheus, in its text format 0.0.4.
 */


#include "ngx_pinaud_status.h"


static void ngx_pinaud_status_requests(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters);
static void ngx_pinaud_status_admission(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters);
static void ngx_pinaud_status_responses(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters);
static void ngx_pinaud_status_credentials(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters);
static void ngx_pinaud_status_fact(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters, ngx_pinaud_fact_e fact, time_t from,
    const char *metric, const char *help);
static void ngx_pinaud_status_outage(ngx_pinaud_text_t *text,
    ngx_pinaud_main_conf_t *pmcf);
static void ngx_pinaud_status_named(ngx_pinaud_text_t *text,
    const char *metric, const char *label, ngx_pinaud_named_t *entry,
    ngx_atomic_uint_t value);
static void ngx_pinaud_status_family(ngx_pinaud_text_t *text,
    const char *metric, const char *type, const char *help);
static void ngx_pinaud_status_label(ngx_pinaud_text_t *text, const u_char *p,
    size_t len);


void
ngx_pinaud_status_prometheus(ngx_pinaud_text_t *text,
    ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_counters_t *counters,
    ngx_uint_t up)
{
    ngx_uint_t  i;

    ngx_pinaud_status_family(text, "pinaud_build_info", "gauge",
                             "Versions, as labels; always 1.");
    ngx_pinaud_text_print(text, "pinaud_build_info{version=\"%s\","
                          "nginx=\"%s\"} 1\n",
                          NGX_PINAUD_VERSION, NGINX_VERSION);

    ngx_pinaud_status_family(text, "pinaud_store_up", "gauge",
                             "Whether all workers that asked reach Redis.");
    ngx_pinaud_text_print(text, "pinaud_store_up %ui\n", up);

    ngx_pinaud_status_family(text, "pinaud_store_errors_total", "counter",
                             "Failures of Redis, by reason.");

    for (i = 0; i < NGX_PINAUD_STORE_ERRORS; i++) {
        ngx_pinaud_status_named(text, "pinaud_store_errors_total", "reason",
                                &counters->store_errors[i].named,
                                counters->store_errors[i].value);
    }

    ngx_pinaud_status_requests(text, counters);

    ngx_pinaud_status_family(text, "pinaud_body_errors_total", "counter",
                             "Errors in bodies, by code.");

    for (i = 0; i < PINAUD_ERROR_CODES; i++) {
        ngx_pinaud_text_print(text, "pinaud_body_errors_total{code=\"%s\"}"
                              " %uA\n",
                              pinaud_error_name(i), counters->errors[i]);
    }

    ngx_pinaud_status_family(text, "pinaud_edits_total", "counter",
                             "Edits of bodies, by member.");

    for (i = 0; i < NGX_PINAUD_EDITS; i++) {
        ngx_pinaud_status_named(text, "pinaud_edits_total", "member",
                                &counters->edits[i].named,
                                counters->edits[i].value);
    }

    ngx_pinaud_status_admission(text, counters);
    ngx_pinaud_status_responses(text, counters);
    ngx_pinaud_status_credentials(text, counters);
    ngx_pinaud_status_outage(text, pmcf);
}


static void
ngx_pinaud_status_requests(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters)
{
    ngx_uint_t  i, k;

    ngx_pinaud_status_family(text, "pinaud_requests_total", "counter",
                             "Requests, by what they asked for and what "
                             "became of them.");

    for (i = 0; i < NGX_PINAUD_OPERATIONS; i++) {
        for (k = 0; k < NGX_PINAUD_OUTCOMES; k++) {
            ngx_pinaud_text_print(text, "pinaud_requests_total{"
                                  "operation=\"%s\",outcome=\"%s\"} %uA\n",
                                  ngx_pinaud_operation_name(i),
                                  ngx_pinaud_outcome_name(k),
                                  counters->requests[i][k]);
        }
    }

    ngx_pinaud_status_family(text, "pinaud_would_refuse_total", "counter",
                             "Requests whose refusal was told and not "
                             "enforced.");

    for (i = 0; i < NGX_PINAUD_REPORTS; i++) {
        k = ngx_pinaud_reports[i];
        ngx_pinaud_text_print(text, "pinaud_would_refuse_total{"
                              "outcome=\"%s\"} %uA\n",
                              ngx_pinaud_outcome_name(k),
                              counters->would_refuse[k]);
    }
}


/* Of credentials that are in use, what is known. */

static void
ngx_pinaud_status_credentials(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters)
{
    ngx_uint_t                i, k;
    ngx_pinaud_credential_t  *credential;

    ngx_pinaud_status_fact(text, counters, NGX_PINAUD_FACT_EXPIRES, 1,
                     "pinaud_credential_access_token_expiry_timestamp_seconds",
                     "When the access token expires, of credentials used "
                     "within the last hour.");

    ngx_pinaud_status_fact(text, counters, NGX_PINAUD_FACT_REFRESH_EXPIRES, 1,
                    "pinaud_credential_refresh_token_expiry_timestamp_seconds",
                    "When the refresh token expires, of credentials used "
                    "within the last hour.");

    ngx_pinaud_status_family(text, "pinaud_credential_state", "gauge",
                             "Whether a credential is in that state.");

    for (i = 0; i < NGX_PINAUD_CREDENTIALS; i++) {
        credential = &counters->credentials[i];

        if (!ngx_pinaud_zone_in_use(credential)
            || credential->facts[NGX_PINAUD_FACT_STATE] == 0)
        {
            continue;
        }

        for (k = NGX_PINAUD_STATE_OK; k < NGX_PINAUD_STATES; k++) {
            ngx_pinaud_text_print(text,
                                  "pinaud_credential_state{credential=\"");
            ngx_pinaud_status_label(text, credential->named.name,
                                  credential->named.len);
            ngx_pinaud_text_print(text, "\",state=\"%s\"} %d\n",
                         ngx_pinaud_state_name(k),
                         credential->facts[NGX_PINAUD_FACT_STATE] == k);
        }
    }

    ngx_pinaud_status_fact(text, counters, NGX_PINAUD_FACT_COOLDOWN,
                           ngx_time() + 1,
                           "pinaud_cooldown_end_timestamp_seconds",
                           "When Pinterest's own limit of a credential is "
                           "over, of those used up now.");
}


/* A time, where it is not before the given one. */

static void
ngx_pinaud_status_fact(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters, ngx_pinaud_fact_e fact, time_t from,
    const char *metric, const char *help)
{
    ngx_uint_t                i;
    ngx_pinaud_credential_t  *credential;

    ngx_pinaud_status_family(text, metric, "gauge", help);

    for (i = 0; i < NGX_PINAUD_CREDENTIALS; i++) {
        credential = &counters->credentials[i];

        if (ngx_pinaud_zone_in_use(credential)
            && (time_t) credential->facts[fact] >= from)
        {
            ngx_pinaud_status_named(text, metric, "credential",
                                    &credential->named,
                                    credential->facts[fact]);
        }
    }
}


static void
ngx_pinaud_status_admission(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  count;

    ngx_pinaud_status_family(text, "pinaud_admission_duration_seconds",
                             "histogram",
                             "What admissions took, waiting included.");

    count = 0;

    for (i = 0; i < NGX_PINAUD_BUCKETS; i++) {
        count += counters->admission[i];

        ngx_pinaud_text_print(text, "pinaud_admission_duration_seconds_bucket{"
                              "le=\"%s\"} %uA\n",
                              ngx_pinaud_buckets[i].le, count);
    }

    count += counters->admission[NGX_PINAUD_BUCKETS];

    ngx_pinaud_text_print(text, "pinaud_admission_duration_seconds_bucket{"
                          "le=\"+Inf\"} %uA\n", count);
    ngx_pinaud_text_print(text, "pinaud_admission_duration_seconds_sum "
                          "%uA.%06uA\n",
                          counters->admission_us / 1000000,
                          counters->admission_us % 1000000);
    ngx_pinaud_text_print(text, "pinaud_admission_duration_seconds_count "
                          "%uA\n", count);
}


static void
ngx_pinaud_status_responses(ngx_pinaud_text_t *text,
    ngx_pinaud_counters_t *counters)
{
    ngx_uint_t  i;

    ngx_pinaud_status_family(text, "pinaud_upstream_responses_total",
                             "counter",
                             "Responses of Pinterest, by status code.");

    for (i = 0; i < NGX_PINAUD_STATUSES; i++) {

        if (counters->responses[i] == 0) {
            continue;
        }

        ngx_pinaud_text_print(text, "pinaud_upstream_responses_total{"
                              "code=\"%ui\"} %uA\n",
                              NGX_PINAUD_STATUS_MIN + i,
                              counters->responses[i]);
    }
}


static void
ngx_pinaud_status_outage(ngx_pinaud_text_t *text,
    ngx_pinaud_main_conf_t *pmcf)
{
    ngx_uint_t  held, requests;

    ngx_pinaud_outage_count(pmcf, &held, &requests);

    ngx_pinaud_status_family(text, "pinaud_outage_requests_total", "counter",
                             "Requests that went on without the store.");
    ngx_pinaud_text_print(text, "pinaud_outage_requests_total %ui\n",
                          requests);

    ngx_pinaud_status_family(text, "pinaud_outage_allowance_requests", "gauge",
                             "Requests that could go on without the store.");
    ngx_pinaud_text_print(text, "pinaud_outage_allowance_requests %ui\n",
                          held);
}


static void
ngx_pinaud_status_named(ngx_pinaud_text_t *text, const char *metric,
    const char *label, ngx_pinaud_named_t *entry, ngx_atomic_uint_t value)
{
    if (entry->len == 0) {
        return;
    }

    ngx_pinaud_text_print(text, "%s{%s=\"", metric, label);
    ngx_pinaud_status_label(text, entry->name, entry->len);
    ngx_pinaud_text_print(text, "\"} %uA\n", value);
}


static void
ngx_pinaud_status_family(ngx_pinaud_text_t *text, const char *metric,
    const char *type, const char *help)
{
    ngx_pinaud_text_print(text, "# HELP %s %s\n# TYPE %s %s\n",
                          metric, help, metric, type);
}


/* A label's value, with what the format asks to be escaped. */

static void
ngx_pinaud_status_label(ngx_pinaud_text_t *text, const u_char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {

        switch (p[i]) {

        case '\\':
            ngx_pinaud_text_add(text, (const u_char *) "\\\\", 2);
            break;

        case '"':
            ngx_pinaud_text_add(text, (const u_char *) "\\\"", 2);
            break;

        case '\n':
            ngx_pinaud_text_add(text, (const u_char *) "\\n", 2);
            break;

        default:
            ngx_pinaud_text_add(text, &p[i], 1);
        }
    }
}
