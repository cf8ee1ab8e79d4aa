
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the files share that reach the store.
 */


#ifndef _CTL_STORE_H_INCLUDED_
#define _CTL_STORE_H_INCLUDED_


#include "ctl.h"
#include "ctl_link.h"


struct ctl_words_s {
    ctl_words_t      *next;            /* in a queue */
    int               argc;
    int               room;
    const char      **argv;
    size_t           *lens;
};


/* It outlives what a command's pool holds. */

struct ctl_store_s {
    pinaud_reach_t    reach;
    ctl_tls_t         tls;             /* with rediss:// */
    char              password[CTL_SECRET_MAX + 1];
    size_t            password_len;    /* 0: none */
    ctl_link_t        link;
};


/* ctl_store.c */

int ctl_store_send(ctl_t *ctl, const ctl_words_t *words);
redisReply *ctl_store_receive(ctl_t *ctl);

/* Tells of an error, or of an answer of another form than the command has. */
int ctl_store_refused(ctl_t *ctl, const ctl_words_t *words,
    const redisReply *reply);

/* Tells that the connection failed, and why. */
int ctl_store_lost(ctl_t *ctl);


/* ctl_reach.c */

/* Reads the settings that tell where the store is and who we are. */
int ctl_reach_read(ctl_t *ctl, ctl_store_t *store);


#endif /* _CTL_STORE_H_INCLUDED_ */
