
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


typedef struct {
    char              text[CTL_SECRET_MAX + 1];
    size_t            len;             /* 0: there is none */
} ctl_password_t;


/* It outlives what a command's pool holds. */

struct ctl_store_s {
    pinaud_reach_t    reach;
    ctl_tls_t         tls;             /* with rediss:// */
    ctl_password_t    password;
    ctl_password_t    sentinel_password;
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

/*
 * Connects, and makes us known. Returns 0, or -1 with the reason; the link is
 * to be closed in both cases.
 */
int ctl_store_connect(ctl_t *ctl, ctl_link_t *link, const pinaud_url_t *url,
    const ctl_password_t *password, const char **why);

#define CTL_ANY  0                     /* reply but an error */

/* Asks one server, and expects this type of reply; NULL with the reason. */
redisReply *ctl_store_talk(ctl_t *ctl, ctl_link_t *link,
    const ctl_words_t *words, int type, const char **why);


/* ctl_reach.c */

/* Reads the settings that tell where the store is and who we are. */
int ctl_reach_read(ctl_t *ctl, ctl_store_t *store);


/* ctl_sentinel.c */

/* Connects to the master that the sentinels tell. Returns as connect. */
int ctl_sentinel_open(ctl_t *ctl, const char **why);


#endif /* _CTL_STORE_H_INCLUDED_ */
