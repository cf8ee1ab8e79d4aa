
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The agent's journal: what it is about to do with which refresh token, and
 * the answer that this brought, until the store has it. A folder with a file
 * for each credential, which has its whole size before a call is begun: an
 * answer finds room on a disk that is full by then. All that is written is on
 * the disk when a function returns.
 *
 * Functions return 0, or -1 with the reason in "error" (CTL_JOURNAL_ERROR
 * bytes).
 */


#ifndef _CTL_JOURNAL_H_INCLUDED_
#define _CTL_JOURNAL_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include "pinaud_keys.h"
#include "pinaud_seal.h"


#define CTL_JOURNAL_ERROR  512
#define CTL_JOURNAL_ROOM   20480       /* bytes of an answer, sealed */
#define CTL_JOURNAL_ID     17          /* hexadecimal digits and a zero */
#define CTL_ENTRY_BASE      41
#define CTL_ENTRY_ID        33


typedef enum {
    CTL_PHASE_NONE = 0,
    CTL_PHASE_PREPARED,                 /* there is room, nothing was sent */
    CTL_PHASE_CALLING                   /* it may have been carried out */
} ctl_phase_e;


/* A call of the token endpoint: its file's header. */

typedef struct {
    char               name[PINAUD_NAME_MAX + 1];
    ctl_phase_e        phase;
    unsigned           unknown:1;      /* one before may have been, with this
                                          refresh token */
    unsigned           demanded:1;     /* by a gateway whose token never
                                          worked */
    uint64_t           refresh_version;
    uint64_t           version;        /* of the access token before */
    uint64_t           next_version;   /* of the new one */
    uint64_t           at;             /* Redis's time before it, in ms */
    char               base[CTL_ENTRY_BASE];   /* SHA-1 of the sealed refresh
                                                 token; "" where the header
                                                 was not whole */
    char               id[CTL_ENTRY_ID];       /* the attempt's */
} ctl_entry_t;


/* What Pinterest granted; texts are printable and end with a zero. */

typedef struct {
    const char        *access;
    const char        *refresh;        /* "": none came */
    const char        *scope;          /* "": not told */
    uint64_t           expires;        /* seconds of Redis's time; 0: not
                                          known */
    uint64_t           refresh_expires;
} ctl_grant_t;


typedef struct ctl_journal_s  ctl_journal_t;


/*
 * Makes the folder if it is not there, and locks it: a journal has one owner.
 * The ring seals the answers, and outlives the journal.
 */
int ctl_journal_open(ctl_journal_t **journal, const char *dir,
    pinaud_keyring_t *ring, char *error);
void ctl_journal_close(ctl_journal_t *journal);

/* The journal's own name: random, made with the folder. */
const char *ctl_journal_id(const ctl_journal_t *journal);

/* Calls "each" with what every file tells that is not cleared. */
int ctl_journal_read(ctl_journal_t *journal,
    void (*each)(void *data, const ctl_entry_t *entry), void *data,
    char *error);

/* Makes room for the call's answer, without one, and writes its header. */
int ctl_journal_prepare(ctl_journal_t *journal, const ctl_entry_t *entry,
    char *error);

/* Writes the header anew. */
int ctl_journal_mark(ctl_journal_t *journal, const ctl_entry_t *entry,
    char *error);

/* Adds the answer to a call. */
int ctl_journal_answer(ctl_journal_t *journal, const ctl_entry_t *entry,
    const ctl_grant_t *grant, char *error);

/*
 * Reads the answer into CTL_JOURNAL_ROOM bytes, which the caller wipes. Returns
 * 1 where there is none, or not a whole one.
 */
int ctl_journal_granted(ctl_journal_t *journal, const ctl_entry_t *entry,
    unsigned char *room, ctl_grant_t *grant, char *error);

/* Forgets the call and its answer. */
int ctl_journal_clear(ctl_journal_t *journal, const char *name, char *error);


#endif /* _CTL_JOURNAL_H_INCLUDED_ */
