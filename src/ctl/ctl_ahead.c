
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Records that are asked for ahead: many in one round trip, for who then reads
 * one after the other.
 */


#include <string.h>
#include "ctl.h"
#include "ctl_store.h"


#define CTL_AHEAD_ROUND  256           /* commands on their way at once */


typedef struct {
    const char          *key;
    ctl_link_t          *link;         /* who was asked; NULL: nobody */
    redisReply          *reply;        /* NULL: none, or it was taken */
} ctl_ahead_record_t;


struct ctl_ahead_s {
    ctl_ahead_record_t  *records;
    unsigned             n;
    unsigned             next;         /* behind the one that was taken last */
};


static int ctl_ahead_round(ctl_t *ctl, ctl_ahead_record_t *records,
    unsigned n);
static int ctl_ahead_receive(ctl_t *ctl, ctl_ahead_record_t *record);


int
ctl_ahead(ctl_t *ctl, const char **keys, unsigned n)
{
    int           rc;
    unsigned      i;
    ctl_ahead_t  *ahead;

    ahead = ctl_alloc(ctl, sizeof(ctl_ahead_t));
    ahead->records = ctl_alloc(ctl, sizeof(ctl_ahead_record_t) * (n + 1));
    ahead->n = n;
    ahead->next = 0;

    for (i = 0; i < n; i++) {
        ahead->records[i].key = keys[i];
        ahead->records[i].link = NULL;
        ahead->records[i].reply = NULL;
    }

    ctl->ahead = NULL;
    rc = CTL_DONE;

    for (i = 0; rc == CTL_DONE && i < n; i += CTL_AHEAD_ROUND) {
        rc = ctl_ahead_round(ctl, &ahead->records[i],
                             n - i < CTL_AHEAD_ROUND ? n - i
                                                     : CTL_AHEAD_ROUND);
    }

    if (rc == CTL_DONE) {
        ctl->ahead = ahead;
    }

    return rc;
}


/* Who can't be reached is met by who reads, who knows what to do then. */

static int
ctl_ahead_round(ctl_t *ctl, ctl_ahead_record_t *records, unsigned n)
{
    int           rc;
    unsigned      i;
    ctl_words_t  *words;

    for (i = 0; i < n; i++) {
        words = ctl_words(ctl, "HGETALL", records[i].key, NULL);

        records[i].link = ctl_store_clustered(ctl->store)
                          ? ctl_cluster_link(ctl, words) : ctl->store->link;

        if (records[i].link == NULL) {
            break;
        }

        if (ctl_link_send(records[i].link, words->argc, words->argv,
                          words->lens)
            != 0)
        {
            return ctl_store_lost(ctl);
        }
    }

    rc = CTL_DONE;

    for (i = 0; rc == CTL_DONE && i < n && records[i].link; i++) {
        rc = ctl_ahead_receive(ctl, &records[i]);
    }

    return rc;
}


void
ctl_ahead_end(ctl_t *ctl)
{
    ctl->ahead = NULL;
}


/* As a rule they are read in the order in which they were asked for. */

redisReply *
ctl_ahead_take(ctl_t *ctl, const char *key)
{
    unsigned             i;
    redisReply          *reply;
    ctl_ahead_t         *ahead;
    ctl_ahead_record_t  *record;

    ahead = ctl->ahead;

    for (i = 0; ahead != NULL && i < ahead->n; i++) {
        record = &ahead->records[(ahead->next + i) % ahead->n];

        if (strcmp(record->key, key) == 0) {
            ahead->next = (unsigned) (record - ahead->records) + 1;

            reply = record->reply;
            record->reply = NULL;

            return reply;
        }
    }

    return NULL;
}


/*
 * What is no array is asked for once more by who reads it, and then told, or
 * followed to another server. So it is with all of a server of a cluster that
 * is lost.
 */

static int
ctl_ahead_receive(ctl_t *ctl, ctl_ahead_record_t *record)
{
    redisReply  *reply;

    reply = ctl_link_receive(record->link);

    if (reply == NULL) {
        if (!ctl_store_clustered(ctl->store)) {
            return ctl_store_lost(ctl);
        }

        ctl_link_close(record->link);
        return CTL_DONE;
    }

    ctl_own(ctl, reply);

    if (reply->type == REDIS_REPLY_ARRAY) {
        record->reply = reply;
    }

    return CTL_DONE;
}
