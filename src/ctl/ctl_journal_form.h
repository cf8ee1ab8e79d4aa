
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The form of a journal's file, as bytes: nothing here touches a disk. A header
 * is text that ends with its SHA-256, so that it tells by itself whether it is
 * whole; an answer is sealed, which tells the same, and names the attempt that
 * it belongs to.
 */


#ifndef _CTL_JOURNAL_FORM_H_INCLUDED_
#define _CTL_JOURNAL_FORM_H_INCLUDED_


#include "ctl_journal.h"


#define CTL_JOURNAL_HEADER  512        /* with its digest */


/* 0, or -1 where libcrypto fails. */
int ctl_journal_header(unsigned char *header, const ctl_entry_t *entry);

/*
 * Reads a credential's header. One that is not whole, of a file that may have
 * been used, is of a call of which nothing is known; one of zeros of none.
 */
void ctl_journal_header_read(const unsigned char *header, const char *name,
    ctl_entry_t *entry);

/*
 * Writes an answer to CTL_JOURNAL_ROOM bytes. Returns its length, or 0 where it
 * does not fit.
 */
size_t ctl_journal_text(char *to, const ctl_entry_t *entry,
    const ctl_grant_t *grant);

/* Takes one apart, in place. -1 where it belongs to another attempt. */
int ctl_journal_text_read(char *text, const ctl_entry_t *entry,
    ctl_grant_t *grant);


#endif /* _CTL_JOURNAL_FORM_H_INCLUDED_ */
