
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the files of the agent share. Functions that ask the store return
 * CTL_DONE, or CTL_STORE where it can't be reached: then nothing more is asked
 * until it is back.
 */


#ifndef _CTL_AGENT_H_INCLUDED_
#define _CTL_AGENT_H_INCLUDED_


#include <stdio.h>
#include "ctl.h"
#include "ctl_agent_due.h"
#include "ctl_journal.h"
#include "ctl_link.h"
#include "ctl_oauth.h"


#define CTL_AGENT_CALLS    16          /* in flight at once */
#define CTL_AGENT_WISH     160         /* bytes of a wish, with its zero */
#define CTL_AGENT_MESSAGE  1024


/* What an agent knows of a credential from one look to the next. */

typedef struct {
    char           name[PINAUD_NAME_MAX + 1];
    unsigned       listed:1;           /* the store names it */
    unsigned       wished:1;           /* and a wish for it */
    unsigned       in_flight:1;
    unsigned       waiting:1;          /* for a call in flight to end */
    unsigned       kept:1;             /* the store has taken the answer */
    unsigned       tried:1;            /* by --once */
    unsigned       attention:1;        /* a person is needed */
    unsigned       locked:1;           /* the journal's answer does not open */
    unsigned       unusable_told:1;
    unsigned       damage_told:1;

    ctl_entry_t    entry;              /* what the journal has */
    unsigned char *room;               /* an answer, or NULL */
    ctl_grant_t    grant;              /* points into it */
    unsigned       unjournalled:1;     /* and it is nowhere else */
    int64_t        keep_at;            /* when to look whether the store has
                                          it; monotonic, in ms, as all of
                                          these */
    int64_t        kept_at;            /* since when it has it */
    int64_t        look_at;

    uint64_t       failures;           /* as the record had it */
    uint64_t       trouble;            /* the same of the journal */
    int64_t        paused_until;

    ctl_wish_e     wish;
    uint64_t       wish_version;
    char           wish_text[CTL_AGENT_WISH];

    char           lost_host[CTL_ATTEMPT_HOST];   /* whose attempt it was */
    int64_t        begun;
    uint64_t       told_refresh;       /* the day when its expiry was told */
    uint64_t       told_access;
    uint64_t       told_attempt;
} ctl_agent_credential_t;


typedef struct {
    ctl_t                   *ctl;
    FILE                    *log;
    pinaud_keyring_t        *ring;
    ctl_journal_t           *journal;
    ctl_oauth_t             *oauth;
    int                      signals;  /* a descriptor */
    unsigned                 once:1;
    unsigned                 stopping:1;
    unsigned                 connected:1;
    uint64_t                 takeover;
    int64_t                  connect_at;
    uint64_t                 lost;     /* times since the store was there */
    int64_t                  scan_at;
    int64_t                  wishes_at;
    uint64_t                 now;      /* Redis's time at the last look, ms */

    ctl_block_t             *start;    /* of the pool: before a connection */
    char                     host[CTL_ATTEMPT_HOST];
    char                     message[CTL_AGENT_MESSAGE];   /* what would have
                                                              gone to stderr */

    ctl_agent_credential_t **all;
    unsigned                 n;
    unsigned                 room;
} ctl_agent_t;


/* A credential at one look. */

typedef struct {
    ctl_credential_t         record;
    ctl_secret_t             secret;
    ctl_attempt_t            attempt;
    ctl_case_t               due;
    char                     base[CTL_ENTRY_BASE];
} ctl_look_t;


/* ctl_agent.c */

/* The credential of this name, made if "make"; else NULL where it is new. */
ctl_agent_credential_t *ctl_agent_find(ctl_agent_t *agent, const char *name,
    int make);


/* ctl_agent_loop.c */

/* Runs until it is done, or told to stop. Returns an exit code. */
int ctl_agent_run(ctl_agent_t *agent);


/* ctl_agent_scan.c */

/* Looks at all credentials, and does what is due. */
int ctl_agent_scan(ctl_agent_t *agent);

/* The same of those that wait for others to end, or for the store. */
int ctl_agent_waiting(ctl_agent_t *agent);

/*
 * Reads the records of these in one round trip, for the looks that follow, up
 * to ctl_ahead_end(). Others may change them meanwhile: scripts compare.
 */
int ctl_agent_ahead(ctl_agent_t *agent, ctl_agent_credential_t **list,
    unsigned n);

/* The same of one. */
int ctl_agent_look(ctl_agent_t *agent, ctl_agent_credential_t *one);

/* Waits after a failure, "n" in a row, "least" ms. */
void ctl_agent_pause(ctl_agent_credential_t *one, uint64_t n,
    uint64_t least);


/* ctl_agent_wish.c */

/* Looks at those somebody wants a newer token of. */
int ctl_agent_wishes(ctl_agent_t *agent);

/* Takes a wish away, if it is still the same. */
int ctl_agent_unwish(ctl_agent_t *agent, const char *name, const char *text);


/* ctl_agent_warn.c */

/* Tells once a day what a person has to do in time. */
void ctl_agent_warn(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look);


/* ctl_attempt.c */

/* Begins a call, where nobody was faster. */
int ctl_attempt_begin(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look);


/* ctl_attempt_end.c */

/* Does what a call's answer takes. */
int ctl_attempt_end(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_oauth_answer_t *answer);


/* ctl_attempt_settle.c */

/*
 * Gives the journalled answer to the store, if that does not have it. The
 * journal forgets it some minutes after the store had it first; with "last" as
 * soon as it has it.
 */
int ctl_attempt_settle(ctl_agent_t *agent, ctl_agent_credential_t *one,
    int last);

/* Ends an attempt of which nothing was sent. */
int ctl_attempt_undo(ctl_agent_t *agent, ctl_agent_credential_t *one);

/*
 * Notes a failure, "state" NULL: there was none; "keep": the attempt goes on
 * standing. *stood says whether it did so.
 */
int ctl_attempt_fail(ctl_agent_t *agent, ctl_agent_credential_t *one, int keep,
    const char *state, const char *reason, int *stood);

/* Forgets what the journal has. */
void ctl_attempt_forget(ctl_agent_t *agent, ctl_agent_credential_t *one);

/* Looks for an answer in the journal. */
void ctl_attempt_recall(ctl_agent_t *agent, ctl_agent_credential_t *one);


/* ctl_agent_log.c */

/* From now on what others write to stderr goes to agent->message. */
int ctl_agent_log_open(ctl_agent_t *agent);
void ctl_agent_log_close(ctl_agent_t *agent);

/* Writes an event with these fields (json_pack's), which may be NULL. */
void ctl_agent_log(ctl_agent_t *agent, const char *event,
    const char *credential, json_t *fields);


#endif /* _CTL_AGENT_H_INCLUDED_ */
