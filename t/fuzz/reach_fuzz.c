
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What must hold for any words that tell how to reach Redis, and for any error
 * of a node of a cluster:
 *
 * - what is accepted can be used: hosts that are there, ports, all alike;
 * - what is refused has a reason, and no password in it;
 * - a redirection leads to a port, of a slot that there is.
 */


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pinaud_slot.h"
#include "pinaud_url.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_check(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}


static void
fuzz_accepted(const pinaud_reach_t *reach)
{
    unsigned             i;
    const pinaud_url_t  *url;

    fuzz_check(reach->nurls >= 1 && reach->nurls <= PINAUD_REACH_URLS,
               "urls");
    fuzz_check((reach->mode == PINAUD_REACH_SENTINEL)
               == (reach->master[0] != '\0'), "master");
    fuzz_check(reach->nurls == 1 || reach->mode != PINAUD_REACH_STANDALONE,
               "mode");

    for (i = 0; i < reach->nurls; i++) {
        url = &reach->urls[i];

        fuzz_check(url->host[0] != '\0', "host");
        fuzz_check(memchr(url->host, '\0', sizeof(url->host)) != NULL, "host");
        fuzz_check(memchr(url->user, '\0', sizeof(url->user)) != NULL, "user");
        fuzz_check(strpbrk(url->user, ":/@%") == NULL, "user");
        fuzz_check(url->unix_socket ? url->port == 0
                                    : url->port >= 1 && url->port <= 65535,
                   "port");
        fuzz_check(strcmp(url->user, reach->urls[0].user) == 0
                   && url->tls == reach->urls[0].tls
                   && url->db == reach->urls[0].db, "alike");
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char               error[PINAUD_URL_ERROR];
    const char        *text;
    pinaud_reach_t     reach;
    pinaud_redirect_t  redirect;

    text = (const char *) data;
    error[0] = '\0';

    if (pinaud_reach_read(text, size, &reach, error) == 0) {
        fuzz_accepted(&reach);

    } else {
        fuzz_check(error[0] != '\0' && strlen(error) < sizeof(error),
                   "reason");
        fuzz_check(strstr(error, "hunter2") == NULL, "password");
    }

    if (pinaud_redirect_read(text, size, &redirect) == 0) {
        fuzz_check(redirect.port >= 1 && redirect.port <= 65535, "port");
        fuzz_check(redirect.slot < PINAUD_SLOTS, "slot");
        fuzz_check(strlen(redirect.host) < sizeof(redirect.host), "host");
    }

    fuzz_check(pinaud_slot(text, size) < PINAUD_SLOTS, "slot of a key");

    return 0;
}
