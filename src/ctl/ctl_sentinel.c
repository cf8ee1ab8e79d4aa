
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The master, by its sentinels. What they say may be old, so the master is
 * asked as well.
 */


#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "ctl.h"
#include "ctl_store.h"


#define CTL_SENTINEL_MS     5000       /* until a failover should be over */
#define CTL_SENTINEL_PAUSE  100


static int ctl_sentinel_follow(ctl_t *ctl, const pinaud_url_t *sentinel,
    const char **why);
static int ctl_sentinel_address(ctl_t *ctl, ctl_link_t *link,
    pinaud_url_t *master, const char **why);
static int ctl_sentinel_role(ctl_t *ctl, const char **why);


int
ctl_sentinel_open(ctl_t *ctl, const char **why)
{
    int64_t          end;
    unsigned         i;
    ctl_store_t     *store;
    struct timespec  pause;

    store = ctl->store;

    pause.tv_sec = 0;
    pause.tv_nsec = CTL_SENTINEL_PAUSE * 1000000L;

    end = ctl_clock() + CTL_SENTINEL_MS;

    for ( ;; ) {
        for (i = 0; i < store->reach.nurls; i++) {
            if (ctl_sentinel_follow(ctl, &store->reach.urls[i], why) == 0) {
                return 0;
            }
        }

        if (ctl_clock() >= end) {
            break;
        }

        (void) nanosleep(&pause, NULL);
    }

    *why = ctl_format(ctl, "no sentinel leads to the master %s: %s",
                      store->reach.master, *why);

    return -1;
}


/* User and database are the master's. */

static int
ctl_sentinel_follow(ctl_t *ctl, const pinaud_url_t *sentinel,
    const char **why)
{
    int            rc;
    ctl_link_t     link;
    ctl_store_t   *store;
    pinaud_url_t   master, url;

    store = ctl->store;

    master = *sentinel;
    url = *sentinel;
    url.user[0] = '\0';
    url.db = 0;

    rc = ctl_store_connect(ctl, &link, &url, &store->sentinel_password, why);

    if (rc == 0) {
        rc = ctl_sentinel_address(ctl, &link, &master, why);
    }

    ctl_link_close(&link);

    if (rc == 0) {
        ctl_link_close(store->link);
        rc = ctl_store_connect(ctl, store->link, &master, &store->password,
                               why);
    }

    return (rc == 0) ? ctl_sentinel_role(ctl, why) : rc;
}


static int
ctl_sentinel_address(ctl_t *ctl, ctl_link_t *link, pinaud_url_t *master,
    const char **why)
{
    char               *end;
    const char         *name;
    ctl_words_t        *words;
    unsigned long       number;
    const redisReply   *reply, *host, *port;

    name = ctl->store->reach.master;
    words = ctl_words(ctl, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name, NULL);

    reply = ctl_store_talk(ctl, link, words, CTL_ANY, why);

    if (reply == NULL) {
        return -1;
    }

    if (reply->type == REDIS_REPLY_NIL) {
        *why = ctl_format(ctl, "the sentinel at %s knows no such master",
                          link->name);
        return -1;
    }

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        host = reply->element[0];
        port = reply->element[1];

        if (host->type == REDIS_REPLY_STRING
            && port->type == REDIS_REPLY_STRING
            && pinaud_host_valid(host->str, (size_t) host->len))
        {
            number = strtoul(port->str, &end, 10);

            if (*end == '\0' && number > 0 && number <= 65535) {
                memcpy(master->host, host->str, (size_t) host->len + 1);
                master->port = (unsigned) number;
                return 0;
            }
        }
    }

    *why = ctl_format(ctl, "the sentinel at %s tells no address", link->name);

    return -1;
}


/* A former master that came back, and does not know it yet, is not used. */

static int
ctl_sentinel_role(ctl_t *ctl, const char **why)
{
    ctl_link_t        *link;
    const redisReply  *reply;

    link = ctl->store->link;
    reply = ctl_store_talk(ctl, link, ctl_words(ctl, "ROLE", NULL),
                           REDIS_REPLY_ARRAY, why);

    if (reply == NULL) {
        return -1;
    }

    if (reply->elements == 0 || reply->element[0]->type != REDIS_REPLY_STRING
        || strcmp(reply->element[0]->str, "master") != 0)
    {
        *why = ctl_format(ctl, "Redis at %s is no master", link->name);
        return -1;
    }

    return 0;
}
