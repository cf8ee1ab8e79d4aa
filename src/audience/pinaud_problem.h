
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How refusals look: the table of problems (RFC 9457) and their documents,
 * which Pinterest's own clients can read too.
 */


#ifndef _PINAUD_PROBLEM_H_INCLUDED_
#define _PINAUD_PROBLEM_H_INCLUDED_


#include <jansson.h>
#include "pinaud_audience.h"


#pragma GCC visibility push(hidden)


typedef enum {
    PINAUD_PROBLEM_INVALID_BODY = 0,
    PINAUD_PROBLEM_INVALID_PATH,
    PINAUD_PROBLEM_UNKNOWN_CALLER,
    PINAUD_PROBLEM_FORBIDDEN,
    PINAUD_PROBLEM_NOT_FOUND,
    PINAUD_PROBLEM_METHOD_NOT_ALLOWED,
    PINAUD_PROBLEM_TOO_LARGE,
    PINAUD_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
    PINAUD_PROBLEM_QUOTA_EXCEEDED,
    PINAUD_PROBLEM_UPSTREAM_UNREACHABLE,
    PINAUD_PROBLEM_OUTCOME_UNKNOWN,
    PINAUD_PROBLEM_CREDENTIAL_UNAVAILABLE,
    PINAUD_PROBLEM_STORE_UNAVAILABLE,
    PINAUD_PROBLEM_INTERNAL,       /* status and code: the caller's */
    PINAUD_PROBLEMS                /* how many there are */
} pinaud_problem_e;


typedef struct {
    const char  *type;             /* the full URI */
    const char  *title;
    unsigned     status;
    int          code;             /* Pinterest's, as contract says */
    const char  *outcome;          /* "invalid", "over_quota", ... */
    unsigned     retry:1;          /* Pinaud-Should-Retry */
} pinaud_problem_t;


/* Static; there is one of each id. */
const pinaud_problem_t *pinaud_problem(pinaud_problem_e id);


/*
 * Makes the problem's document, or returns NULL when memory is out. The
 * caller owns it and adds members of its own ("violated-policies"). Status
 * replaces the table's status and code where it is not 0 (internal). The
 * detail is copied; NULL stands for the title. With a verdict, "errors",
 * "errors_omitted", and the detail and message that count and name the
 * errors are made from it, and detail is not used. request_id may be NULL:
 * then there is no such member.
 */
json_t *pinaud_problem_document(pinaud_problem_e id, unsigned status,
    const char *detail, const char *request_id, size_t request_id_len,
    const pinaud_audience_verdict_t *verdict);


#pragma GCC visibility pop


#endif /* _PINAUD_PROBLEM_H_INCLUDED_ */
