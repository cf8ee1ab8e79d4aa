
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
    char              text[PINAUD_PASSWORD_MAX];
    size_t            len;             /* 0: there is none */
} ctl_password_t;


/* A server: the only one, or one of a cluster. */

typedef struct ctl_node_s  ctl_node_t;

struct ctl_node_s {
    ctl_node_t       *next;
    ctl_link_t        link;            /* its fd is -1: not connected */
};


/* It outlives what a command's pool holds. */

struct ctl_store_s {
    pinaud_reach_t    reach;
    ctl_tls_t         tls;             /* with rediss:// */
    ctl_password_t    password;
    ctl_password_t    sentinel_password;
    ctl_node_t       *nodes;
    ctl_node_t      **slots;           /* of a cluster: who has which; NULL:
                                          not known */
    ctl_node_t       *teller;          /* who told that; NULL: nobody yet */
    ctl_link_t       *link;            /* to who was asked last */
};


#define ctl_store_clustered(store)                                           \
    ((store)->reach.mode == PINAUD_REACH_CLUSTER)


/* ctl_store.c */

int ctl_store_send(ctl_t *ctl, const ctl_words_t *words);
redisReply *ctl_store_receive(ctl_t *ctl);

/* Tells of an error, or of an answer of another form than the command has. */
int ctl_store_refused(ctl_t *ctl, const ctl_words_t *words,
    const redisReply *reply);

/* The same as text. */
const char *ctl_store_refusal(ctl_t *ctl, const char *name,
    const ctl_words_t *words, const redisReply *reply);

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


/* The node at that address, which may be a new one; NULL: no memory. */
ctl_node_t *ctl_store_node(ctl_store_t *store, const pinaud_url_t *url);

/* Who answered last, for messages. */
void ctl_store_on(ctl_t *ctl, ctl_link_t *link);


/* ctl_ahead.c */

/*
 * Asks for many records together: then the first read of each takes what came.
 * Others may have changed it since. "end" has them read anew.
 */
int ctl_ahead(ctl_t *ctl, const char **keys, unsigned n);
void ctl_ahead_end(ctl_t *ctl);

/* What came, once, or NULL. */
redisReply *ctl_ahead_take(ctl_t *ctl, const char *key);


/* ctl_reach.c */

/* Reads the settings that tell where the store is and who we are. */
int ctl_reach_read(ctl_t *ctl, ctl_store_t *store);


/* ctl_sentinel.c */

/* Connects to the master that the sentinels tell. Returns as connect. */
int ctl_sentinel_open(ctl_t *ctl, const char **why);


/* ctl_cluster.c */

/* Learns who has which slots. Returns as connect. */
int ctl_cluster_open(ctl_t *ctl, const char **why);

/*
 * Asks who has the slot of the command's key, wherever that leads; of a
 * command without a key who was asked last. Where the command was sent and no
 * answer came, *lost is set.
 */
redisReply *ctl_cluster_talk(ctl_t *ctl, const ctl_words_t *words, int type,
    const char **why, int *lost);

/* Connected to who has the slot of its key, as far as is known; or NULL. */
ctl_link_t *ctl_cluster_link(ctl_t *ctl, const ctl_words_t *words);


/* ctl_change_slots.c */

/* The same as a transaction, but slot by slot. Both return exit codes. */
int ctl_slots_watch(ctl_t *ctl, const char *key);
int ctl_slots_exec(ctl_t *ctl);


/* ctl_transaction.c */

#define CTL_AGAIN  (-1)                /* somebody was faster */

/* Tells that the outcome is not known; why was told before. */
int ctl_exec_unknown(void);


#endif /* _CTL_STORE_H_INCLUDED_ */
