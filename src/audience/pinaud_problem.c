
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <stdio.h>
#include <string.h>
#include "pinaud_problem.h"


static json_t *pinaud_problem_errors(const pinaud_audience_verdict_t *verdict);
static json_t *pinaud_problem_error(const pinaud_audience_error_t *error);
static int pinaud_problem_has_offset(const pinaud_audience_error_t *error);
static size_t pinaud_problem_message(const pinaud_audience_verdict_t *verdict,
    char *to);


#define PINAUD_PROBLEM_URN  "urn:pinaud:problem:"

/* How many errors the message names: the list has them all. */

#define PINAUD_PROBLEM_NAMED    4
#define PINAUD_PROBLEM_COUNTED  128
#define PINAUD_PROBLEM_MESSAGE                                                \
    (PINAUD_PROBLEM_COUNTED                                                   \
     + PINAUD_PROBLEM_NAMED * (PINAUD_AUDIENCE_MAX_POINTER + 128))


static const pinaud_problem_t  pinaud_problems[PINAUD_PROBLEMS] = {

    [PINAUD_PROBLEM_INVALID_BODY] = {
        PINAUD_PROBLEM_URN "invalid-body", "The audience is not valid",
        400, 1, "invalid", 0 },

    [PINAUD_PROBLEM_INVALID_PATH] = {
        PINAUD_PROBLEM_URN "invalid-path", "The path is not valid",
        400, 1, "invalid", 0 },

    [PINAUD_PROBLEM_UNKNOWN_CALLER] = {
        PINAUD_PROBLEM_URN "unknown-caller", "The caller is not known",
        401, 2, "unauthenticated", 0 },

    [PINAUD_PROBLEM_FORBIDDEN] = {
        PINAUD_PROBLEM_URN "forbidden", "The ad account is not available",
        403, 29, "forbidden", 0 },

    [PINAUD_PROBLEM_NOT_FOUND] = {
        PINAUD_PROBLEM_URN "not-found", "There is nothing here",
        404, 404, "unmatched", 0 },

    [PINAUD_PROBLEM_METHOD_NOT_ALLOWED] = {
        PINAUD_PROBLEM_URN "method-not-allowed", "The method is not allowed",
        405, 5, "unmatched", 0 },

    [PINAUD_PROBLEM_TOO_LARGE] = {
        PINAUD_PROBLEM_URN "too-large", "The request body is too large",
        413, 1, "invalid", 0 },

    [PINAUD_PROBLEM_UNSUPPORTED_MEDIA_TYPE] = {
        PINAUD_PROBLEM_URN "unsupported-media-type",
        "The request body must be application/json in UTF-8",
        415, 1, "invalid", 0 },

    [PINAUD_PROBLEM_QUOTA_EXCEEDED] = {
        "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "The quota is used up",
        429, 8, "over_quota", 1 },

    [PINAUD_PROBLEM_UPSTREAM_UNREACHABLE] = {
        PINAUD_PROBLEM_URN "upstream-unreachable",
        "Pinterest could not be reached, nothing was sent",
        502, 502, "not_sent", 1 },

    [PINAUD_PROBLEM_OUTCOME_UNKNOWN] = {
        PINAUD_PROBLEM_URN "outcome-unknown",
        "Pinterest's answer did not come, the audience may exist",
        504, 504, "unknown", 0 },

    [PINAUD_PROBLEM_CREDENTIAL_UNAVAILABLE] = {
        PINAUD_PROBLEM_URN "credential-unavailable",
        "There is no usable Pinterest credential at present",
        503, 503, "no_credential", 1 },

    [PINAUD_PROBLEM_STORE_UNAVAILABLE] = {
        PINAUD_PROBLEM_URN "store-unavailable",
        "The gateway's store is not available",
        503, 503, "store_down", 1 },

    [PINAUD_PROBLEM_INTERNAL] = {
        PINAUD_PROBLEM_URN "internal", "The gateway failed",
        500, 500, "error", 0 }
};


const pinaud_problem_t *
pinaud_problem(pinaud_problem_e id)
{
    return &pinaud_problems[id];
}


json_t *
pinaud_problem_document(pinaud_problem_e id, unsigned status,
    const char *detail, const char *request_id, size_t request_id_len,
    const pinaud_audience_verdict_t *verdict)
{
    int                      code, failed;
    char                     message[PINAUD_PROBLEM_MESSAGE];
    size_t                   counted, named;
    json_t                  *document;
    const pinaud_problem_t  *problem;

    problem = pinaud_problem(id);
    code = status ? (int) status : problem->code;
    status = status ? status : problem->status;

    if (verdict != NULL) {
        named = pinaud_problem_message(verdict, message);
        counted = (size_t) (strchr(message, ':') - message);
        detail = message;

    } else {
        detail = detail ? detail : problem->title;
        named = strlen(detail);
        counted = named;
    }

    document = json_object();

    if (document == NULL) {
        return NULL;
    }

    failed = json_object_set_new(document, "type", json_string(problem->type))
          || json_object_set_new(document, "title", json_string(problem->title))
          || json_object_set_new(document, "status",
                                 json_integer((json_int_t) status))
          || json_object_set_new(document, "detail",
                                 json_stringn(detail, counted))
          || json_object_set_new(document, "code", json_integer(code))
          || json_object_set_new(document, "message",
                                 json_stringn(detail, named));

    if (!failed && request_id != NULL) {
        failed = json_object_set_new(document, "request_id",
                                     json_stringn(request_id, request_id_len));
    }

    if (!failed && verdict != NULL) {
        failed = json_object_set_new(document, "errors",
                                     pinaud_problem_errors(verdict));
    }

    if (!failed && verdict != NULL && verdict->omitted > 0) {
        failed = json_object_set_new(document, "errors_omitted",
                                 json_integer((json_int_t) verdict->omitted));
    }

    if (failed) {
        json_decref(document);
        return NULL;
    }

    return document;
}


static json_t *
pinaud_problem_errors(const pinaud_audience_verdict_t *verdict)
{
    json_t    *errors;
    unsigned   i;

    errors = json_array();

    if (errors == NULL) {
        return NULL;
    }

    for (i = 0; i < verdict->nerrors; i++) {
        if (json_array_append_new(errors,
                                  pinaud_problem_error(&verdict->errors[i])))
        {
            json_decref(errors);
            return NULL;
        }
    }

    return errors;
}


static json_t *
pinaud_problem_error(const pinaud_audience_error_t *error)
{
    json_t  *item;

    item = json_pack("{s:s%,s:s,s:s}",
                     "pointer", (const char *) error->pointer,
                     error->pointer_len,
                     "code", pinaud_error_name(error->code),
                     "detail", error->detail);

    if (item != NULL && pinaud_problem_has_offset(error)
        && json_object_set_new(item, "offset",
                               json_integer((json_int_t) error->offset)))
    {
        json_decref(item);
        return NULL;
    }

    return item;
}


static int
pinaud_problem_has_offset(const pinaud_audience_error_t *error)
{
    return error->code <= PINAUD_ERROR_DEPTH;
}


/*
 * Writes how many errors there are and, behind a colon, the first of them.
 * Returns the length.
 */

static size_t
pinaud_problem_message(const pinaud_audience_verdict_t *verdict, char *to)
{
    char                           *p;
    size_t                          size, total;
    unsigned                        i;
    const char                     *separator;
    const pinaud_audience_error_t  *error;

    p = to;
    total = verdict->nerrors + verdict->omitted;

    p += snprintf(p, PINAUD_PROBLEM_MESSAGE,
                  "%zu error%s in the request body:", total,
                  total == 1 ? "" : "s");

    separator = " ";

    for (i = 0; i < verdict->nerrors && i < PINAUD_PROBLEM_NAMED; i++) {
        error = &verdict->errors[i];
        size = PINAUD_PROBLEM_MESSAGE - (size_t) (p - to);

        if (pinaud_problem_has_offset(error)) {
            p += snprintf(p, size, "%sat byte %zu: %s", separator,
                          error->offset, error->detail);

        } else if (error->pointer_len == 0) {
            p += snprintf(p, size, "%sit %s", separator, error->detail);

        } else {
            p += snprintf(p, size, "%s%.*s %s", separator,
                          (int) error->pointer_len,
                          (const char *) error->pointer, error->detail);
        }

        separator = "; ";
    }

    if (total > i) {
        p += snprintf(p, PINAUD_PROBLEM_MESSAGE - (size_t) (p - to),
                      "; and %zu more", total - i);
    }

    return (size_t) (p - to);
}
