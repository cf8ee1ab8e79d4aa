
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the token endpoint is sent and what it answers, as text.
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include "ctl_oauth_answer.h"


#define CTL_ANSWER_WHAT  96


static void ctl_answer_granted(ctl_oauth_answer_t *answer,
    const json_t *value);
static void ctl_answer_refused(ctl_oauth_answer_t *answer,
    const json_t *value);
static int ctl_answer_rfc(ctl_oauth_answer_t *answer, const json_t *value);
static int ctl_answer_token(const json_t *value, const char *name, char *to,
    size_t *len);
static uint64_t ctl_answer_number(const json_t *value, const char *name,
    uint64_t max);
static void ctl_answer_scope(ctl_oauth_answer_t *answer, const json_t *value);
static void ctl_answer_unknown(ctl_oauth_answer_t *answer, const char *what);


void
ctl_oauth_answer_read(ctl_oauth_answer_t *answer, unsigned status,
    const char *body, size_t len)
{
    json_t  *value;

    answer->status = status;

    value = json_loadb(body, len, 0, NULL);

    if (status == 429) {
        answer->outcome = CTL_OAUTH_LATER;
        ctl_oauth_answer_reason(answer, "Pinterest's limit of token requests "
                                "is reached (429)");

    } else if (status >= 500) {
        ctl_answer_unknown(answer, "an error of the server");

    } else if (status >= 300 && status < 400) {
        ctl_answer_unknown(answer, "a redirect, which is not followed");

    } else if (!json_is_object(value)) {
        ctl_answer_unknown(answer, len == 0 ? "nothing"
                                            : "something that is no JSON "
                                              "object");

    } else if (status >= 200 && status < 300) {
        ctl_answer_granted(answer, value);

    } else {
        ctl_answer_refused(answer, value);
    }

    json_decref(value);
}


static void
ctl_answer_granted(ctl_oauth_answer_t *answer, const json_t *value)
{
    const json_t  *type;

    type = json_object_get(value, "token_type");

    if (type != NULL
        && (!json_is_string(type)
            || strcasecmp(json_string_value(type), "bearer") != 0))
    {
        ctl_answer_unknown(answer, "a token that is no bearer token");
        return;
    }

    if (ctl_answer_token(value, "access_token", answer->access,
                         &answer->access_len)
        != 0 || answer->access_len == 0)
    {
        ctl_answer_unknown(answer, "no usable access token");
        return;
    }

    if (ctl_answer_token(value, "refresh_token", answer->refresh,
                         &answer->refresh_len)
        != 0)
    {
        ctl_answer_unknown(answer, "a refresh token that is none");
        return;
    }

    answer->expires_in = ctl_answer_number(value, "expires_in",
                                           CTL_LIFETIME_MAX);
    answer->refresh_expires_in =
        ctl_answer_number(value, "refresh_token_expires_in",
                          CTL_LIFETIME_MAX);
    answer->refresh_expires_at =
        ctl_answer_number(value, "refresh_token_expires_at", INT64_MAX);

    ctl_answer_scope(answer, value);

    answer->outcome = CTL_OAUTH_GRANTED;
    answer->reason[0] = '\0';
}


/* A token that is not there is none; one that is there has to be one. */

static int
ctl_answer_token(const json_t *value, const char *name, char *to, size_t *len)
{
    size_t         i, n;
    const char    *text;
    const json_t  *token;

    *len = 0;
    to[0] = '\0';

    token = json_object_get(value, name);

    if (token == NULL || json_is_null(token)) {
        return 0;
    }

    if (!json_is_string(token)) {
        return -1;
    }

    text = json_string_value(token);
    n = json_string_length(token);

    if (n > CTL_TOKEN_MAX) {
        return -1;
    }

    /* it goes into a header */

    for (i = 0; i < n; i++) {
        if (text[i] <= 0x20 || text[i] >= 0x7f) {
            return -1;
        }
    }

    memcpy(to, text, n + 1);
    *len = n;

    return 0;
}


/* A positive whole number, also as text or with a fraction; else 0. */

static uint64_t
ctl_answer_number(const json_t *value, const char *name, uint64_t max)
{
    char                *end;
    double               real;
    const char          *text;
    const json_t        *number;
    unsigned long long   n;

    number = json_object_get(value, name);

    if (json_is_integer(number)) {
        if (json_integer_value(number) <= 0) {
            return 0;
        }

        n = (unsigned long long) json_integer_value(number);

    } else if (json_is_real(number)) {
        real = json_real_value(number);

        if (!(real >= 1 && real < 1e15)) {
            return 0;
        }

        n = (unsigned long long) real;

    } else if (json_is_string(number)) {
        text = json_string_value(number);

        errno = 0;
        n = strtoull(text, &end, 10);

        if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno) {
            return 0;
        }

    } else {
        return 0;
    }

    return n < max ? n : max;
}


static void
ctl_answer_scope(ctl_oauth_answer_t *answer, const json_t *value)
{
    const char  *scope;

    scope = json_string_value(json_object_get(value, "scope"));

    answer->scope[0] = '\0';

    /* half of a scope would be another one */

    if (scope != NULL && strlen(scope) <= CTL_SCOPE_MAX) {
        memcpy(answer->scope, scope, strlen(scope) + 1);
        ctl_oauth_printable(answer->scope);
    }
}


static void
ctl_answer_refused(ctl_oauth_answer_t *answer, const json_t *value)
{
    char         what[CTL_ANSWER_WHAT];
    long long    code;
    const char  *message;

    if (ctl_answer_rfc(answer, value)) {
        return;
    }

    if (!json_is_integer(json_object_get(value, "code"))) {
        ctl_answer_unknown(answer, "neither tokens nor an error that is "
                           "known");
        return;
    }

    code = (long long) json_integer_value(json_object_get(value, "code"));
    message = json_string_value(json_object_get(value, "message"));

    switch (answer->status) {

    case 401:
        answer->outcome = CTL_OAUTH_UNTOLD;
        break;

    case 400:
    case 403:
        answer->outcome = CTL_OAUTH_REFUSED;
        break;

    default:
        answer->outcome = CTL_OAUTH_UNKNOWN;
    }

    snprintf(what, sizeof(what), "Pinterest answers %u, code %lld",
             answer->status, code);

    ctl_oauth_answer_quote(answer, what, message ? message : "");
}


/* RFC 6749, section 5.2. Returns 0 where the answer is not of its form. */

static int
ctl_answer_rfc(ctl_oauth_answer_t *answer, const json_t *value)
{
    char         what[CTL_ANSWER_WHAT];
    unsigned     i;
    const char  *description, *error, *known;

    static const struct {
        const char           *error;
        ctl_oauth_outcome_e   outcome;
    } errors[] = {
        { "invalid_client", CTL_OAUTH_WRONG_CLIENT },
        { "unauthorized_client", CTL_OAUTH_WRONG_CLIENT },
        { "invalid_grant", CTL_OAUTH_REFUSED },
        { "invalid_request", CTL_OAUTH_REFUSED },
        { "invalid_scope", CTL_OAUTH_REFUSED },
        { "unsupported_grant_type", CTL_OAUTH_REFUSED },
    };

    error = json_string_value(json_object_get(value, "error"));

    if (error == NULL) {
        return 0;
    }

    description = json_string_value(json_object_get(value,
                                                    "error_description"));

    answer->outcome = (answer->status == 401) ? CTL_OAUTH_UNTOLD
                                              : CTL_OAUTH_UNKNOWN;
    known = "an error that is not known";

    for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strcmp(errors[i].error, error) == 0) {
            answer->outcome = errors[i].outcome;
            known = errors[i].error;
        }
    }

    snprintf(what, sizeof(what), "Pinterest answers %u, %s", answer->status,
             known);

    ctl_oauth_answer_quote(answer, what, description ? description : "");

    return 1;
}


static void
ctl_answer_unknown(ctl_oauth_answer_t *answer, const char *what)
{
    unsigned  status;

    status = answer->status;

    ctl_oauth_answer_wipe(answer);

    answer->status = status;
    answer->outcome = CTL_OAUTH_UNKNOWN;
    ctl_oauth_answer_reason(answer, "the token endpoint answers %u with %s",
                            status, what);
}


/*
 * Pinterest answers a wrong app and a dead token alike, and documents no
 * difference. That a request without a token is 400 to an app that it knows,
 * and 401 to one that it does not know, is inferred from what its other
 * operations do: either way a person is needed, and the reason tells no more
 * than what was seen.
 */

void
ctl_oauth_answer_probed(ctl_oauth_answer_t *answer, unsigned status)
{
    char  reason[CTL_REASON_MAX];

    memcpy(reason, answer->reason, CTL_REASON_MAX);

    switch (status) {

    case 400:
        answer->outcome = CTL_OAUTH_REFUSED;
        ctl_oauth_answer_reason(answer, "%.160s (the app's id and secret seem "
                                "to be good)", reason);
        break;

    case 401:
        answer->outcome = CTL_OAUTH_WRONG_CLIENT;
        ctl_oauth_answer_reason(answer, "%.160s (the app's id or secret seems "
                                "to be wrong)", reason);
        break;

    default:
        answer->outcome = CTL_OAUTH_REFUSED;
        ctl_oauth_answer_reason(answer, "%.160s (the token, or the app's id "
                                "or secret)", reason);
    }
}


void
ctl_oauth_answer_wipe(ctl_oauth_answer_t *answer)
{
    OPENSSL_cleanse(answer, sizeof(ctl_oauth_answer_t));
}


uint64_t
ctl_oauth_refresh_expires(const ctl_oauth_answer_t *answer, uint64_t now)
{
    if (answer->refresh_expires_in != 0) {
        return now + answer->refresh_expires_in;
    }

    if (answer->refresh_expires_at > now
        && answer->refresh_expires_at - now <= CTL_LIFETIME_MAX)
    {
        return answer->refresh_expires_at;
    }

    return 0;
}
