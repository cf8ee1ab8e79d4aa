
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the connection and the transactions share.
 */


#ifndef _CTL_STORE_H_INCLUDED_
#define _CTL_STORE_H_INCLUDED_


#include "ctl.h"


struct ctl_words_s {
    ctl_words_t   *next;               /* in a queue */
    int            argc;
    int            room;
    const char   **argv;
    size_t        *lens;
};


int ctl_store_send(ctl_t *ctl, const ctl_words_t *words);
redisReply *ctl_store_receive(ctl_t *ctl);

/* Tells of an error, or of an answer of another form than the command has. */
int ctl_store_refused(ctl_t *ctl, const ctl_words_t *words,
    const redisReply *reply);

/* Tells that the connection failed, and why. */
int ctl_store_lost(ctl_t *ctl);


#endif /* _CTL_STORE_H_INCLUDED_ */
