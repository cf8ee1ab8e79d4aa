
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the files of the journal share.
 */


#ifndef _CTL_JOURNAL_FILE_H_INCLUDED_
#define _CTL_JOURNAL_FILE_H_INCLUDED_


#include <sys/types.h>
#include "ctl_journal_form.h"


#define CTL_JOURNAL_PREFIX  "credential-"
#define CTL_JOURNAL_PATH    (sizeof(CTL_JOURNAL_PREFIX) + PINAUD_NAME_MAX)
#define CTL_JOURNAL_AT      4096       /* where the answer begins */
#define CTL_JOURNAL_LEN     4          /* bytes of its length, before it */


struct ctl_journal_s {
    int                fd;             /* of the folder */
    int                lock;
    pinaud_keyring_t  *ring;
    char              *dir;
    char               id[CTL_JOURNAL_ID];
};


/* Opens a credential's file, and writes its name to "path"; -1. */
int ctl_journal_file(ctl_journal_t *journal, const char *name, int flags,
    char *path, char *error);

/* Writes all, or returns -1 with errno. */
int ctl_journal_write(int fd, const void *bytes, size_t len, off_t at);

/* Tells a reason, of a file or of the folder (NULL). Returns -1. */
int ctl_journal_failed(const ctl_journal_t *journal, const char *path,
    const char *reason, char *error);


#endif /* _CTL_JOURNAL_FILE_H_INCLUDED_ */
