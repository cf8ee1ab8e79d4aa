
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Slots as Redis tells them (CLUSTER KEYSLOT), and redirections.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "pinaud_slot.h"


static void
slots(void **state)
{
    size_t  i;

    static const struct {
        const char  *key;
        unsigned     slot;
    } cases[] = {
        { "", 0 },
        { "123456789", 0x31c3 },
        { "foo", 12182 },
        { "bar", 5061 },
        { "user1000", 3443 },
        { "{user1000}.following", 3443 },
        { "pinaud:credential:{main}", 12501 },
        { "pinaud:bucket:{main}:1:growth", 12501 },
        { "pinaud:accounts", 11208 },
        { "pinaud:account:549755885175", 4747 },
        { "foo{}{bar}", 8363 },
        { "foo{{bar}}zap", 4015 },
        { "foo{bar}{zap}", 5061 },
        { "foo{bar", 15278 },
        { "a}b{c}", 7365 },
        { "\xff\xfe", 3374 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pinaud_slot(cases[i].key, strlen(cases[i].key)),
                         cases[i].slot);
    }

    /* a key ends where its length says */

    assert_int_equal(pinaud_slot("foo{bar}", 3), 12182);
    assert_int_equal(pinaud_slot("foo{bar}", 7), 15278);
}


static void
redirects(void **state)
{
    size_t             i;
    pinaud_redirect_t  redirect;

    static const struct {
        const char  *text;
        const char  *host;
        unsigned     port;
        unsigned     slot;
        unsigned     ask;
    } cases[] = {
        { "MOVED 3999 10.0.0.7:6381", "10.0.0.7", 6381, 3999, 0 },
        { "ASK 0 cache-1.example:1", "cache-1.example", 1, 0, 1 },
        { "MOVED 16383 ::1:65535", "::1", 65535, 16383, 0 },
        { "MOVED 1 :6379", "", 6379, 1, 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pinaud_redirect_read(cases[i].text,
                                              strlen(cases[i].text),
                                              &redirect),
                         0);
        assert_string_equal(redirect.host, cases[i].host);
        assert_int_equal(redirect.port, cases[i].port);
        assert_int_equal(redirect.slot, cases[i].slot);
        assert_int_equal(redirect.ask, cases[i].ask);
    }
}


static void
no_redirects(void **state)
{
    int                n;
    char               text[512];
    size_t             i;
    pinaud_redirect_t  redirect;

    static const char  *const cases[] = {
        "", "MOVED", "MOVED ", "ASK ", "MOVED 1", "MOVED 1 ", "MOVED 1 h",
        "MOVED 1 h:", "MOVED 1 h:0", "MOVED 1 h:65536", "MOVED 1 h:1x",
        "MOVED 1 h:4294967297", "MOVED 16384 h:1", "MOVED -1 h:1",
        "MOVED 1  h:1", "MOVED x h:1", "MOVED  h:1", "moved 1 h:1",
        "ASKING 1 h:1", "MOVED 1 h i:1", "ERR unknown command",
        "MOVED 1 ?:1", "MOVED 1 \033[2J:1", "MOVED 1 h\n:1", "ASK 1 h\x9b:1",
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pinaud_redirect_read(cases[i], strlen(cases[i]),
                                              &redirect),
                         -1);
    }

    assert_int_equal(pinaud_redirect_read("MOVED 1 h\0i:1", 13, &redirect),
                     -1);

    n = sprintf(text, "MOVED 1 %0255d:1", 7);
    assert_int_equal(pinaud_redirect_read(text, (size_t) n, &redirect), 0);

    n = sprintf(text, "MOVED 1 %0256d:1", 7);
    assert_int_equal(pinaud_redirect_read(text, (size_t) n, &redirect), -1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(slots),
        cmocka_unit_test(redirects),
        cmocka_unit_test(no_redirects),
    };

    return cmocka_run_group_tests_name("slot", tests, NULL, NULL);
}
