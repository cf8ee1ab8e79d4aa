
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <stdio.h>
#include <string.h>
#include "pinaud_url.h"


#define PINAUD_REACH_SENTINEL_PORT  26379

#define pinaud_reach_is(word, len, literal)                                  \
    ((len) == sizeof(literal) - 1                                            \
     && memcmp(word, literal, sizeof(literal) - 1) == 0)

#define pinaud_reach_starts(word, len, literal)                              \
    ((len) >= sizeof(literal) - 1                                            \
     && memcmp(word, literal, sizeof(literal) - 1) == 0)


static const char *pinaud_reach_mode(pinaud_reach_t *reach, const char *value,
    size_t len);
static const char *pinaud_reach_master(pinaud_reach_t *reach,
    const char *value, size_t len);
static const char *pinaud_reach_wrong(const pinaud_reach_t *reach);
static const char *pinaud_reach_urls_wrong(const pinaud_reach_t *reach);
static int pinaud_reach_told(char *error, const char *reason);


int
pinaud_reach_word(pinaud_reach_t *reach, const char *word, size_t len,
    char *error)
{
    size_t  n;

    if (pinaud_reach_starts(word, len, "mode=")) {
        n = sizeof("mode=") - 1;
        return pinaud_reach_told(error,
                                 pinaud_reach_mode(reach, word + n, len - n));
    }

    if (pinaud_reach_starts(word, len, "master=")) {
        n = sizeof("master=") - 1;
        return pinaud_reach_told(error, pinaud_reach_master(reach, word + n,
                                                            len - n));
    }

    if (reach->nurls == PINAUD_REACH_URLS) {
        return pinaud_reach_told(error, "takes at most 16 URLs");
    }

    if (pinaud_url_read(word, len, &reach->urls[reach->nurls], error) != 0) {
        return -1;
    }

    reach->nurls++;

    return 0;
}


static const char *
pinaud_reach_mode(pinaud_reach_t *reach, const char *value, size_t len)
{
    if (reach->mode != PINAUD_REACH_STANDALONE) {
        return "takes \"mode=\" once";
    }

    if (pinaud_reach_is(value, len, "sentinel")) {
        reach->mode = PINAUD_REACH_SENTINEL;

    } else if (pinaud_reach_is(value, len, "cluster")) {
        reach->mode = PINAUD_REACH_CLUSTER;

    } else {
        return "takes \"mode=sentinel\" or \"mode=cluster\"; a standalone "
               "Redis needs no mode";
    }

    return NULL;
}


static const char *
pinaud_reach_master(pinaud_reach_t *reach, const char *value, size_t len)
{
    size_t  i;

    static const char  allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

    if (reach->master[0] != '\0') {
        return "takes \"master=\" once";
    }

    for (i = 0; i < len && value[i] != '\0'; i++) {
        if (strchr(allowed, value[i]) == NULL) {
            break;
        }
    }

    if (len == 0 || len >= sizeof(reach->master) || i != len) {
        return "takes a master's name of 1 to 127 letters, digits and . - _";
    }

    memcpy(reach->master, value, len);

    return NULL;
}


int
pinaud_reach_check(pinaud_reach_t *reach, char *error)
{
    unsigned     i;
    const char  *reason;

    reason = pinaud_reach_wrong(reach);

    if (reason == NULL) {
        reason = pinaud_reach_urls_wrong(reach);
    }

    if (reason == NULL && reach->mode == PINAUD_REACH_SENTINEL) {
        for (i = 0; i < reach->nurls; i++) {
            if (!reach->urls[i].port_told) {
                reach->urls[i].port = PINAUD_REACH_SENTINEL_PORT;
            }
        }
    }

    return pinaud_reach_told(error, reason);
}


static const char *
pinaud_reach_wrong(const pinaud_reach_t *reach)
{
    if (reach->nurls == 0) {
        return "needs a URL: redis://[user@]host[:port][/db], rediss://... "
               "or unix:/path";
    }

    if (reach->mode == PINAUD_REACH_SENTINEL && reach->master[0] == '\0') {
        return "with \"mode=sentinel\" needs \"master=NAME\", the name by "
               "which the sentinels know the master";
    }

    if (reach->mode != PINAUD_REACH_SENTINEL && reach->master[0] != '\0') {
        return "takes \"master=\" with \"mode=sentinel\" only";
    }

    if (reach->mode == PINAUD_REACH_STANDALONE && reach->nurls > 1) {
        return "with several URLs needs \"mode=sentinel master=NAME\" or "
               "\"mode=cluster\"";
    }

    return NULL;
}


static const char *
pinaud_reach_urls_wrong(const pinaud_reach_t *reach)
{
    unsigned             i;
    const pinaud_url_t  *first, *url;

    first = &reach->urls[0];

    for (i = 0; i < reach->nurls; i++) {
        url = &reach->urls[i];

        if (url->unix_socket && reach->mode != PINAUD_REACH_STANDALONE) {
            return "with a mode takes no unix socket: the addresses of the "
                   "other nodes are learned, and are of TCP";
        }

        if (url->db != 0 && reach->mode == PINAUD_REACH_CLUSTER) {
            return "takes no database in a cluster, which has only 0";
        }

        if (url->tls != first->tls) {
            return "takes redis:// or rediss:// in all URLs, not both";
        }

        if (strcmp(url->user, first->user) != 0 || url->db != first->db) {
            return "takes the same user and database in all URLs";
        }
    }

    return NULL;
}


int
pinaud_reach_read(const char *text, size_t len, pinaud_reach_t *reach,
    char *error)
{
    const char  *end, *p, *word;

    memset(reach, 0, sizeof(pinaud_reach_t));

    end = text + len;

    for (p = text; p < end; p++) {

        if (*p == ' ') {
            continue;
        }

        word = p;

        while (p < end && *p != ' ') {
            p++;
        }

        if (pinaud_reach_word(reach, word, (size_t) (p - word), error) != 0) {
            return -1;
        }
    }

    return pinaud_reach_check(reach, error);
}


static int
pinaud_reach_told(char *error, const char *reason)
{
    if (reason == NULL) {
        return 0;
    }

    snprintf(error, PINAUD_URL_ERROR, "%s", reason);

    return -1;
}
