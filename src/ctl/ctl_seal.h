
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the keys of a seal key file are used for.
 */


#ifndef _CTL_SEAL_H_INCLUDED_
#define _CTL_SEAL_H_INCLUDED_


#include "ctl.h"


typedef enum {
    CTL_SEAL_ACCESS = 0,
    CTL_SEAL_REFRESH,
    CTL_SEAL_CLIENT,
    CTL_SEAL_MAC,
    CTL_SEAL_JOURNAL,
    CTL_SEAL_KINDS
} ctl_seal_kind_e;


typedef struct {
    const char  *id;
    const char  *file;                 /* "first", "yes"; NULL: not in it */
    uint64_t     count[CTL_SEAL_KINDS];
} ctl_seal_use_t;


typedef struct {
    ctl_seal_use_t  *keys;
    unsigned         count;
    unsigned         room;
    unsigned         journal:1;        /* one was looked into */
} ctl_seal_uses_t;


/*
 * Counts what each key sealed or signed. The keys of the ring, which may be
 * NULL, are there in any case and come first.
 */
int ctl_seal_uses(ctl_t *ctl, pinaud_keyring_t *ring, ctl_seal_uses_t *uses);


/* Counts one sealed value. NULL: there is none. */
void ctl_seal_add(ctl_t *ctl, ctl_seal_uses_t *uses, ctl_seal_kind_e kind,
    const unsigned char *sealed, size_t len);

/* The same of all answers in an agent's journal, a folder. */
int ctl_seal_journal(ctl_t *ctl, const char *path, ctl_seal_uses_t *uses);


/* ctl_reseal.c, ctl_seal_list.c */

extern const ctl_option_t  ctl_seal_list_options[];

int ctl_seal_key_reseal(ctl_t *ctl);
int ctl_seal_key_list(ctl_t *ctl);


#endif /* _CTL_SEAL_H_INCLUDED_ */
