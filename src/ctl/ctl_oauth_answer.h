
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the token endpoint is sent and what it answers, as text: nothing here
 * talks to anybody.
 */


#ifndef _CTL_OAUTH_ANSWER_H_INCLUDED_
#define _CTL_OAUTH_ANSWER_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define CTL_TOKEN_MAX        8192      /* bytes of a token */
#define CTL_SCOPE_MAX        1024
#define CTL_REASON_MAX       256
#define CTL_LIFETIME_MAX     315360000 /* seconds: ten years */
#define CTL_RETRY_MAX        86400


typedef enum {
    CTL_OAUTH_GRANTED = 0,
    CTL_OAUTH_NOT_SENT,            /* it can't have been carried out */
    CTL_OAUTH_LATER,               /* 429: refused before it was looked at */
    CTL_OAUTH_UNKNOWN,             /* it may have been carried out */
    CTL_OAUTH_REFUSED,             /* the refresh token or the code is */
    CTL_OAUTH_WRONG_CLIENT,        /* the app's id or secret is wrong */
    CTL_OAUTH_UNTOLD               /* one of the last two: see the probe */
} ctl_oauth_outcome_e;


/*
 * Tokens are printable ASCII without spaces and end with a zero. Who has an
 * answer wipes it.
 */

typedef struct {
    ctl_oauth_outcome_e  outcome;
    unsigned             status;   /* of HTTP; 0: there was no answer */

    size_t               access_len;
    size_t               refresh_len;  /* 0: none came, the old one stays */
    uint64_t             expires_in;   /* seconds; 0: not told */
    uint64_t             refresh_expires_in;
    uint64_t             refresh_expires_at;   /* by Pinterest's clock */
    unsigned             retry_after;  /* of LATER, seconds; 0: not told */

    char                 access[CTL_TOKEN_MAX + 1];
    char                 refresh[CTL_TOKEN_MAX + 1];
    char                 scope[CTL_SCOPE_MAX + 1];     /* "": not told */

    /* for people, without secrets: why it is no GRANTED */
    char                 reason[CTL_REASON_MAX];
} ctl_oauth_answer_t;


/*
 * Reads what came with a status. The endpoint tells errors as RFC 6749 does,
 * {"error": "invalid_grant"}, or as Pinterest does, {"code": 2, "message":
 * "..."}. What can't be understood is UNKNOWN, since the old refresh token may
 * be spent. A few oddities of an answer that holds tokens are overlooked: they
 * are no reason to lose them.
 */
void ctl_oauth_answer_read(ctl_oauth_answer_t *answer, unsigned status,
    const char *body, size_t len);

/*
 * Decides an UNTOLD by the status of a probe: the same request by the same
 * client, but without a refresh token. 0: the probe failed.
 */
void ctl_oauth_answer_probed(ctl_oauth_answer_t *answer, unsigned status);

/* Tells why, printable; what is too long is cut. */
void ctl_oauth_answer_reason(ctl_oauth_answer_t *answer, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The same with a message of the endpoint's, less what may be a token in it. */
void ctl_oauth_answer_quote(ctl_oauth_answer_t *answer, const char *what,
    const char *message);

/* Leaves nothing that a terminal would obey: others may have written it. */
void ctl_oauth_printable(char *text);

void ctl_oauth_answer_wipe(ctl_oauth_answer_t *answer);

/*
 * When the refresh token of an answer expires, by the clock of "now"; 0: not
 * known.
 */
uint64_t ctl_oauth_refresh_expires(const ctl_oauth_answer_t *answer,
    uint64_t now);

/* Whether a scope, words between spaces or commas, has a word. */
int ctl_oauth_scope_has(const char *scope, const char *word);

/*
 * Percent-encodes text for a form or a query and ends it with a zero; "to" has
 * room for three times its length and that zero. Returns where the zero is.
 */
char *ctl_oauth_encode(char *to, const char *text);


#endif /* _CTL_OAUTH_ANSWER_H_INCLUDED_ */
