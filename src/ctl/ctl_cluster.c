
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A cluster: who has which slot, and who is asked.
 */


#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "ctl.h"
#include "ctl_store.h"
#include "pinaud_slot.h"


#define CTL_CLUSTER_MS     5000        /* of one command, wherever it leads */
#define CTL_CLUSTER_PAUSE  50
#define CTL_CLUSTER_HOPS   8           /* until that leads nowhere */


typedef enum {
    CTL_CLUSTER_DONE = 0,
    CTL_CLUSTER_FAILED,
    CTL_CLUSTER_MOVED,                 /* another node is to be asked */
    CTL_CLUSTER_LATER                  /* the same again, after a while */
} ctl_cluster_e;


/* A command on its way. */

typedef struct {
    const ctl_words_t  *words;
    int                 type;
    int                 slot;          /* -1: it has no key */
    ctl_node_t         *node;          /* who is asked */
    int                 asking;
    int                 hops;          /* without a pause */
    redisReply         *reply;
    const char         *why;
    int                 lost;
} ctl_cluster_way_t;


static int ctl_cluster_learn(ctl_t *ctl, const char **why);
static int ctl_cluster_slots(ctl_t *ctl, ctl_node_t *from,
    const redisReply *reply);
static int ctl_cluster_range(ctl_t *ctl, ctl_node_t *from,
    const redisReply *range);
static int ctl_cluster_slot(const ctl_words_t *words);
static ctl_cluster_e ctl_cluster_try(ctl_t *ctl, ctl_cluster_way_t *way);
static ctl_cluster_e ctl_cluster_later(ctl_t *ctl, ctl_cluster_way_t *way);
static ctl_node_t *ctl_cluster_current(ctl_store_t *store);
static ctl_cluster_e ctl_cluster_error(ctl_t *ctl, ctl_cluster_way_t *way);
static int ctl_cluster_connect(ctl_t *ctl, ctl_node_t *node,
    const char **why);
static void ctl_cluster_pause(void);


int
ctl_cluster_open(ctl_t *ctl, const char **why)
{
    unsigned      i;
    ctl_store_t  *store;

    store = ctl->store;
    store->slots = calloc(PINAUD_SLOTS, sizeof(ctl_node_t *));

    if (store->slots == NULL) {
        *why = "out of memory";
        return -1;
    }

    for (i = 0; i < store->reach.nurls; i++) {
        if (ctl_store_node(store, &store->reach.urls[i]) == NULL) {
            *why = "out of memory";
            return -1;
        }
    }

    return ctl_cluster_learn(ctl, why);
}


/*
 * From the first of all that are known who tells; of a map that does not hold,
 * from the first behind who told it, since that may be old and stay so.
 */

static int
ctl_cluster_learn(ctl_t *ctl, const char **why)
{
    unsigned      i, n;
    ctl_node_t   *node;
    redisReply   *reply;
    ctl_store_t  *store;
    ctl_words_t  *words;

    store = ctl->store;
    words = ctl_words(ctl, "CLUSTER", "SLOTS", NULL);

    n = 0;

    for (node = store->nodes; node; node = node->next) {
        n++;
    }

    node = store->teller;

    for (i = 0; i < n; i++) {
        node = (node && node->next) ? node->next : store->nodes;

        if (ctl_cluster_connect(ctl, node, why) != 0) {
            continue;
        }

        reply = ctl_store_talk(ctl, &node->link, words, REDIS_REPLY_ARRAY,
                               why);

        if (reply == NULL) {
            ctl_link_close(&node->link);
            continue;
        }

        if (ctl_cluster_slots(ctl, node, reply) == 0) {
            store->teller = node;
            ctl_store_on(ctl, &node->link);
            return 0;
        }

        *why = ctl_format(ctl, "Redis at %s does not tell who has which "
                          "slots", node->link.name);
    }

    return -1;
}


static int
ctl_cluster_slots(ctl_t *ctl, ctl_node_t *from, const redisReply *reply)
{
    size_t  i;

    if (reply->elements == 0) {
        return -1;
    }

    for (i = 0; i < reply->elements; i++) {
        if (ctl_cluster_range(ctl, from, reply->element[i]) != 0) {
            return -1;
        }
    }

    return 0;
}


/* First and last slot, and who has them: host, port; replicas behind it. */

static int
ctl_cluster_range(ctl_t *ctl, ctl_node_t *from, const redisReply *range)
{
    long long          slot;
    ctl_node_t        *node;
    pinaud_url_t       url;
    const redisReply  *host, *master, *port;

    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3
        || range->element[0]->type != REDIS_REPLY_INTEGER
        || range->element[1]->type != REDIS_REPLY_INTEGER
        || range->element[0]->integer < 0
        || range->element[1]->integer >= PINAUD_SLOTS
        || range->element[2]->type != REDIS_REPLY_ARRAY
        || range->element[2]->elements < 2)
    {
        return -1;
    }

    master = range->element[2];
    host = master->element[0];
    port = master->element[1];
    url = from->link.url;

    /* without a host it is the one that was asked */

    if (host->type == REDIS_REPLY_STRING && host->len > 0) {
        if (!pinaud_host_valid(host->str, (size_t) host->len)) {

            /* "?", as Redis says, or worse: nobody who can be asked */

            return 0;
        }

        memcpy(url.host, host->str, (size_t) host->len + 1);
    }

    if (port->type != REDIS_REPLY_INTEGER || port->integer < 1
        || port->integer > 65535)
    {
        return -1;
    }

    url.port = (unsigned) port->integer;
    node = ctl_store_node(ctl->store, &url);

    if (node == NULL) {
        return -1;
    }

    for (slot = range->element[0]->integer;
         slot <= range->element[1]->integer; slot++)
    {
        ctl->store->slots[slot] = node;
    }

    return 0;
}


redisReply *
ctl_cluster_talk(ctl_t *ctl, const ctl_words_t *words, int type,
    const char **why, int *lost)
{
    int64_t            end;
    ctl_cluster_e      rc;
    ctl_cluster_way_t  way;

    memset(&way, 0, sizeof(ctl_cluster_way_t));

    way.words = words;
    way.type = type;
    way.slot = ctl_cluster_slot(words);

    end = ctl_clock() + CTL_CLUSTER_MS;

    do {
        rc = ctl_cluster_try(ctl, &way);

        if (rc == CTL_CLUSTER_LATER) {
            way.hops = 0;
            ctl_cluster_pause();
        }

    } while (rc > CTL_CLUSTER_FAILED && ctl_clock() < end);

    *why = way.why;
    *lost = way.lost;

    return (rc == CTL_CLUSTER_DONE) ? way.reply : NULL;
}


ctl_link_t *
ctl_cluster_link(ctl_t *ctl, const ctl_words_t *words)
{
    ctl_node_t  *node;
    const char  *unused;

    node = ctl->store->slots[ctl_cluster_slot(words)];

    return (node != NULL && ctl_cluster_connect(ctl, node, &unused) == 0)
           ? &node->link : NULL;
}


/* The slot of the first key; all of a command's are in one. */

static int
ctl_cluster_slot(const ctl_words_t *words)
{
    int       key;
    unsigned  i;

    static const char  *const keyless[] = {
        "ACL", "AUTH", "CLUSTER", "CONFIG", "DISCARD", "INFO", "MULTI",
        "PING", "ROLE", "TIME"
    };

    for (i = 0; i < sizeof(keyless) / sizeof(keyless[0]); i++) {
        if (strcmp(words->argv[0], keyless[i]) == 0) {
            return -1;
        }
    }

    key = (strcmp(words->argv[0], "EVAL") == 0) ? 3 : 1;

    if (words->argc <= key) {
        return -1;
    }

    return (int) pinaud_slot(words->argv[key], words->lens[key]);
}


static ctl_cluster_e
ctl_cluster_try(ctl_t *ctl, ctl_cluster_way_t *way)
{
    ctl_link_t   *link;
    ctl_store_t  *store;

    store = ctl->store;

    if (way->node == NULL && way->slot >= 0) {
        way->node = store->slots[way->slot];
    }

    if (way->node == NULL) {
        way->node = ctl_cluster_current(store);
    }

    if (ctl_cluster_connect(ctl, way->node, &way->why) != 0) {

        /* who is gone has no slots for long */

        return ctl_cluster_later(ctl, way);
    }

    link = &way->node->link;
    ctl_store_on(ctl, link);

    if (way->asking
        && ctl_store_talk(ctl, link, ctl_words(ctl, "ASKING", NULL),
                          REDIS_REPLY_STATUS, &way->why)
           == NULL)
    {
        return CTL_CLUSTER_FAILED;
    }

    way->reply = NULL;

    if (ctl_link_send(link, way->words->argc, way->words->argv,
                      way->words->lens)
        == 0)
    {
        way->reply = ctl_link_receive(link);
    }

    if (way->reply == NULL) {
        way->why = ctl_format(ctl, "Redis at %s: %s", link->name,
                              link->error);
        way->lost = 1;
        ctl_link_close(link);

        return CTL_CLUSTER_FAILED;
    }

    ctl_own(ctl, way->reply);

    if (way->reply->type == REDIS_REPLY_ERROR) {
        return ctl_cluster_error(ctl, way);
    }

    if (way->type != CTL_ANY && way->reply->type != way->type) {
        way->why = ctl_store_refusal(ctl, link->name, way->words, way->reply);
        return CTL_CLUSTER_FAILED;
    }

    return CTL_CLUSTER_DONE;
}


/* By a map of somebody else, after a while. */

static ctl_cluster_e
ctl_cluster_later(ctl_t *ctl, ctl_cluster_way_t *way)
{
    const char  *unused;

    way->node = NULL;
    way->asking = 0;
    (void) ctl_cluster_learn(ctl, &unused);

    return CTL_CLUSTER_LATER;
}


/* Who was asked last. */

static ctl_node_t *
ctl_cluster_current(ctl_store_t *store)
{
    ctl_node_t  *node;

    for (node = store->nodes; node->next; node = node->next) {
        if (&node->link == store->link) {
            break;
        }
    }

    return node;
}


static ctl_cluster_e
ctl_cluster_error(ctl_t *ctl, ctl_cluster_way_t *way)
{
    size_t              len;
    const char         *text;
    ctl_link_t         *link;
    pinaud_url_t        url;
    pinaud_redirect_t   redirect;

    link = ctl->store->link;
    text = way->reply->str;
    len = (size_t) way->reply->len;

    way->why = ctl_store_refusal(ctl, link->name, way->words, way->reply);
    way->asking = 0;

    if (strncmp(text, "CLUSTERDOWN", 11) == 0) {
        return ctl_cluster_later(ctl, way);
    }

    if (strncmp(text, "TRYAGAIN", 8) == 0) {

        /* whoever sent us here by ASK is to be asked again */

        way->node = NULL;

        return CTL_CLUSTER_LATER;
    }

    if (pinaud_redirect_read(text, len, &redirect) != 0) {
        return CTL_CLUSTER_FAILED;
    }

    url = link->url;
    url.port = redirect.port;

    if (redirect.host[0] != '\0') {
        memcpy(url.host, redirect.host, sizeof(url.host));
    }

    if (++way->hops > CTL_CLUSTER_HOPS) {
        return ctl_cluster_later(ctl, way);
    }

    way->node = ctl_store_node(ctl->store, &url);

    if (way->node == NULL) {
        return CTL_CLUSTER_FAILED;
    }

    if (redirect.ask) {
        way->asking = 1;

    } else {
        ctl->store->slots[redirect.slot] = way->node;
    }

    return CTL_CLUSTER_MOVED;
}


static int
ctl_cluster_connect(ctl_t *ctl, ctl_node_t *node, const char **why)
{
    pinaud_url_t  url;

    if (node->link.fd != -1) {
        return 0;
    }

    ctl_link_close(&node->link);

    url = node->link.url;

    if (ctl_store_connect(ctl, &node->link, &url, &ctl->store->password, why)
        != 0)
    {
        ctl_link_close(&node->link);
        return -1;
    }

    return 0;
}


static void
ctl_cluster_pause(void)
{
    struct timespec  pause;

    pause.tv_sec = 0;
    pause.tv_nsec = CTL_CLUSTER_PAUSE * 1000000L;

    (void) nanosleep(&pause, NULL);
}
