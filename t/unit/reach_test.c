
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How to reach the store: all words together.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "pinaud_url.h"


#define MODE    "takes \"mode=sentinel\" or \"mode=cluster\"; "              \
                "a standalone Redis needs no mode"
#define NAME    "takes a master's name of 1 to 127 letters, digits and . - _"
#define ONLY    "takes \"master=\" with \"mode=sentinel\" only"
#define SAME    "takes the same user and database in all URLs"
#define SOCKET  "with a mode takes no unix socket: the addresses of the "    \
                "other nodes are learned, and are of TCP"


static void
accepts(void **state)
{
    char            error[PINAUD_URL_ERROR];
    size_t          i;
    pinaud_reach_t  reach;

    static const struct {
        const char      *text;
        pinaud_reach_e   mode;
        const char      *master;
        unsigned         nurls;
        const char      *host;         /* of the last one */
        unsigned         port;
    } cases[] = {
        { "redis://h", PINAUD_REACH_STANDALONE, "", 1, "h", 6379 },
        { "  rediss://u@h:1/2  ", PINAUD_REACH_STANDALONE, "", 1, "h", 1 },
        { "unix:/run/redis.sock", PINAUD_REACH_STANDALONE, "", 1,
          "/run/redis.sock", 0 },
        { "redis://u@a redis://u@b:7  redis://u@[::1] mode=sentinel "
          "master=my.Master-1_", PINAUD_REACH_SENTINEL, "my.Master-1_", 3,
          "::1", 26379 },
        { "master=m mode=sentinel rediss://a:6379/3", PINAUD_REACH_SENTINEL,
          "m", 1, "a", 6379 },
        { "redis://a redis://b:6380/0 mode=cluster", PINAUD_REACH_CLUSTER, "",
          2, "b", 6380 },
        { "mode=cluster redis://a", PINAUD_REACH_CLUSTER, "", 1, "a", 6379 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pinaud_reach_read(cases[i].text,
                                           strlen(cases[i].text), &reach,
                                           error),
                         0);
        assert_int_equal(reach.mode, cases[i].mode);
        assert_string_equal(reach.master, cases[i].master);
        assert_int_equal(reach.nurls, cases[i].nurls);
        assert_string_equal(reach.urls[reach.nurls - 1].host, cases[i].host);
        assert_int_equal(reach.urls[reach.nurls - 1].port, cases[i].port);
    }
}


static void
refuses(void **state)
{
    char            error[PINAUD_URL_ERROR];
    size_t          i;
    pinaud_reach_t  reach;

    static const struct {
        const char  *text;
        const char  *reason;
    } cases[] = {
        { "", "needs a URL: redis://[user@]host[:port][/db], rediss://... "
              "or unix:/path" },
        { "mode=cluster", "needs a URL: redis://[user@]host[:port][/db], "
                          "rediss://... or unix:/path" },
        { "redis://a redis://b", "with several URLs needs \"mode=sentinel "
                                 "master=NAME\" or \"mode=cluster\"" },
        { "redis://a mode=", MODE },
        { "redis://a mode=standalone", MODE },
        { "redis://a mode=clusters", MODE },
        { "redis://a mode=cluster mode=cluster", "takes \"mode=\" once" },
        { "redis://a mode=sentinel",
          "with \"mode=sentinel\" needs \"master=NAME\", the name by which "
          "the sentinels know the master" },
        { "redis://a mode=sentinel master=", NAME },
        { "redis://a mode=sentinel master=a*", NAME },
        { "redis://a mode=sentinel master=a master=b",
          "takes \"master=\" once" },
        { "redis://a master=m", ONLY },
        { "redis://a mode=cluster master=m", ONLY },
        { "unix:/r mode=sentinel master=m", SOCKET },
        { "redis://a unix:/r mode=cluster", SOCKET },
        { "redis://a/1 mode=cluster",
          "takes no database in a cluster, which has only 0" },
        { "redis://a rediss://b mode=cluster",
          "takes redis:// or rediss:// in all URLs, not both" },
        { "redis://u@a redis://b mode=cluster", SAME },
        { "redis://a/1 redis://a/2 mode=sentinel master=m", SAME },
        { "redis://a\tmode=cluster",
          "a store's URL has no spaces and no control characters" },
        { "redis://u:hunter2@a mode=cluster",
          "a password in the URL is refused: put it into the password file" },
        { "redis://a password=hunter2",
          "a store's URL is redis://[user@]host[:port][/db], rediss://... "
          "or unix:/path" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pinaud_reach_read(cases[i].text,
                                           strlen(cases[i].text), &reach,
                                           error),
                         -1);
        assert_string_equal(error, cases[i].reason);
    }
}


static void
longest(void **state)
{
    int             n;
    char            error[PINAUD_URL_ERROR], text[1024];
    unsigned        i;
    pinaud_reach_t  reach;

    (void) state;

    n = sprintf(text, "redis://a mode=sentinel master=%0127d", 7);
    assert_int_equal(pinaud_reach_read(text, (size_t) n, &reach, error), 0);
    assert_int_equal(strlen(reach.master), 127);

    n = sprintf(text, "redis://a mode=sentinel master=%0128d", 7);
    assert_int_equal(pinaud_reach_read(text, (size_t) n, &reach, error), -1);
    assert_string_equal(error, NAME);

    memset(&reach, 0, sizeof(pinaud_reach_t));
    assert_int_equal(pinaud_reach_word(&reach, "master=a\0b", 10, error), -1);
    assert_string_equal(error, NAME);

    memset(&reach, 0, sizeof(pinaud_reach_t));

    for (i = 0; i < PINAUD_REACH_URLS; i++) {
        assert_int_equal(pinaud_reach_word(&reach, "redis://a", 9, error), 0);
    }

    assert_int_equal(pinaud_reach_word(&reach, "redis://a", 9, error), -1);
    assert_string_equal(error, "takes at most 16 URLs");
    assert_int_equal(reach.nurls, PINAUD_REACH_URLS);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(longest),
    };

    return cmocka_run_group_tests_name("reach", tests, NULL, NULL);
}
