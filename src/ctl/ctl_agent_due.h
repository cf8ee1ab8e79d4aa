
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What an agent decides, without asking anybody: when a token is due, who may
 * spend a refresh token, how long to wait. Times are Redis's in ms, unless it
 * is told otherwise.
 */


#ifndef _CTL_AGENT_DUE_H_INCLUDED_
#define _CTL_AGENT_DUE_H_INCLUDED_


#include <stdint.h>


#define CTL_ATTEMPT_HOST     65        /* with their zeros */
#define CTL_ATTEMPT_JOURNAL  65
#define CTL_ATTEMPT_ID       65

#define CTL_BACKOFF_MIN      1000
#define CTL_BACKOFF_MAX      600000
#define CTL_SPREAD           1000      /* how many values a spread has */
#define CTL_WISH_JUMP        1000      /* versions that a wish may skip */


/* "REFRESH_VERSION HOST JOURNAL AT TURN ID" */

typedef struct {
    uint64_t      refresh_version;
    uint64_t      at;                  /* when it, or its turn, began */
    unsigned      turn;                /* 1, or 2: it was taken over */
    char          host[CTL_ATTEMPT_HOST];
    char          journal[CTL_ATTEMPT_JOURNAL];
    char          id[CTL_ATTEMPT_ID];
} ctl_attempt_t;


/* Why somebody wants a newer token. */

typedef enum {
    CTL_WISH_NONE = 0,
    CTL_WISH_REFUSED,              /* a 401, and it never had another answer */
    CTL_WISH_WORKED,               /* a 401, and it had worked before */
    CTL_WISH_EXPIRED,
    CTL_WISH_OPERATOR,
    CTL_WISH_FORCE                 /* the operator outranks any attempt */
} ctl_wish_e;


typedef struct {
    unsigned              usable:1;    /* there are refresh token and client */
    unsigned              unauthorized:1;    /* its refresh token is refused */
    unsigned              own:1;       /* the attempt is this agent's */
    unsigned              unresolved:1;      /* the journal has a call with this
                                                refresh token, and no answer */
    unsigned              paused:1;    /* after a failure */
    uint64_t              version;     /* of the access token */
    uint64_t              expires;     /* seconds; 0: not known */
    uint64_t              refreshed;
    uint64_t              refresh_expires;
    uint64_t              demands;
    const ctl_attempt_t  *attempt;     /* that stands, or NULL */
    ctl_wish_e            wish;
    uint64_t              wish_version;
    uint64_t              now;
    uint64_t              takeover;
    unsigned              spread;      /* below CTL_SPREAD */
} ctl_case_t;


typedef enum {
    CTL_DUE_NOT = 0,
    CTL_DUE_REFRESH,
    CTL_DUE_TAKEOVER               /* of somebody else's attempt */
} ctl_due_e;


/* 0, or -1 where it is no attempt. */
int ctl_attempt_read(const char *text, ctl_attempt_t *attempt);

/* "VERSION HOW"; CTL_WISH_NONE where it is no wish. */
ctl_wish_e ctl_wish_read(const char *text, uint64_t *version);

/* What to do about a credential now. */
ctl_due_e ctl_due(const ctl_case_t *one);

/* Whether a wish has nothing to wait for: it is fulfilled, or never will be. */
int ctl_wish_over(const ctl_case_t *one);

/* When its tokens are due, in seconds; 0: never, as far as is known. */
uint64_t ctl_due_at(const ctl_case_t *one);

/*
 * How long to wait after n failures in a row: 1 s, doubling to 10 minutes, less
 * up to a half of it by a random number.
 */
uint64_t ctl_backoff(uint64_t n, unsigned random);

/* A name's place between 0 and CTL_SPREAD. */
unsigned ctl_spread(const char *name);


#endif /* _CTL_AGENT_DUE_H_INCLUDED_ */
