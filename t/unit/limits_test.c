
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Limits as an operator writes them, and as records hold them.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "pinaud_limits.h"


static const char *
add(pinaud_limits_t *limits, const char *text)
{
    return pinaud_limits_add(limits, text, strlen(text));
}


static int
read_record(pinaud_limits_t *limits, const char *text)
{
    return pinaud_limits_read(limits, text, strlen(text));
}


static void
adds(void **state)
{
    size_t           len;
    char             text[PINAUD_LIMITS_TEXT];
    pinaud_limits_t  limits = { .count = 0 };

    (void) state;

    len = pinaud_limits_write(&limits, text);
    assert_int_equal(len, 0);
    assert_string_equal(text, "");

    assert_null(add(&limits, "400/60s"));
    assert_null(add(&limits, "0/5m"));
    assert_null(add(&limits, "1000000/1d"));
    assert_null(add(&limits, "7/3h"));

    len = pinaud_limits_write(&limits, text);
    assert_string_equal(text, "400/60 0/300 1000000/86400 7/10800");
    assert_int_equal(len, strlen(text));

    assert_string_equal(add(&limits, "1/1s"),
                        "is one limit too many: a bucket has at most 4");
    assert_int_equal(limits.count, 4);
}


static void
refuses(void **state)
{
    size_t           i;
    pinaud_limits_t  limits;

    static const struct {
        const char  *text;
        const char  *reason;
    } cases[] = {
        { "", "is not N/W, such as 400/60s" },
        { "400", "is not N/W, such as 400/60s" },
        { "/60s", "is not N/W, such as 400/60s" },
        { "400/", "is not N/W, such as 400/60s" },
        { "400/s", "is not N/W, such as 400/60s" },
        { "-1/60s", "is not N/W, such as 400/60s" },
        { "+1/60s", "is not N/W, such as 400/60s" },
        { " 1/60s", "is not N/W, such as 400/60s" },
        { "01/60s", "is not N/W, such as 400/60s" },
        { "1/060s", "is not N/W, such as 400/60s" },
        { "1.5/60s", "is not N/W, such as 400/60s" },
        { "9999999999/60s", "is not N/W, such as 400/60s" },
        { "400/60", "needs one unit after its window: s, m, h or d" },
        { "400/60x", "needs one unit after its window: s, m, h or d" },
        { "400/60S", "needs one unit after its window: s, m, h or d" },
        { "400/60sec", "needs one unit after its window: s, m, h or d" },
        { "400/60s\n", "needs one unit after its window: s, m, h or d" },
        { "1000001/60s", "has an N that is not 0 to 1,000,000" },
        { "400/0s", "has a window that is not 1s to 1d" },
        { "400/2d", "has a window that is not 1s to 1d" },
        { "400/86401s", "has a window that is not 1s to 1d" },
        { "400/25h", "has a window that is not 1s to 1d" },
        { "400/999999999d", "has a window that is not 1s to 1d" },

        /* 49,711 days are 63,104 s and 2^32 of them */

        { "400/49711d", "has a window that is not 1s to 1d" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        limits.count = 0;
        assert_string_equal(add(&limits, cases[i].text), cases[i].reason);
        assert_int_equal(limits.count, 0);
    }

    limits.count = 0;
    assert_null(add(&limits, "400/60s"));
    assert_string_equal(add(&limits, "10/1m"),
                        "has the same window as another limit of the bucket");
    assert_int_equal(limits.count, 1);
}


/* Text that ends where it says, though memory goes on. */

static void
bounded(void **state)
{
    pinaud_limits_t  limits = { .count = 0 };

    (void) state;

    assert_null(pinaud_limits_add(&limits, "1/1s0", 4));
    assert_non_null(pinaud_limits_add(&limits, "1/2s", 3));
    assert_int_equal(pinaud_limits_read(&limits, "1/60", 3), 0);
    assert_int_equal(limits.limit[0].window, 6);
}


static void
reads(void **state)
{
    pinaud_limits_t  limits;

    (void) state;

    assert_int_equal(read_record(&limits, ""), 0);
    assert_int_equal(limits.count, 0);

    assert_int_equal(read_record(&limits, "400/60 100/1"), 0);
    assert_int_equal(limits.count, 2);
    assert_int_equal(limits.limit[0].n, 400);
    assert_int_equal(limits.limit[0].window, 60);
    assert_int_equal(limits.limit[1].n, 100);
    assert_int_equal(limits.limit[1].window, 1);
}


static void
reads_no_other(void **state)
{
    size_t           i;
    pinaud_limits_t  limits;

    static const char  *cases[] = {
        " ", "400/60 ", " 400/60", "400/60  100/1", "400/60,100/1", "400",
        "400/", "400/60s", "400/60 x", "400/60 reserve=1", "400/0",
        "1000001/1", "1/86401", "1/60 2/60", "1/1 1/2 1/3 1/4 1/5", "a",
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_record(&limits, cases[i]), -1);
    }
}


/* The longest record fits the room that the header promises. */

static void
longest(void **state)
{
    char             text[PINAUD_LIMITS_TEXT];
    pinaud_limits_t  limits = { .count = 0 };
    pinaud_limits_t  again;

    (void) state;

    assert_null(add(&limits, "1000000/86400s"));
    assert_null(add(&limits, "1000000/86399s"));
    assert_null(add(&limits, "1000000/86398s"));
    assert_null(add(&limits, "1000000/86397s"));

    assert_true(pinaud_limits_write(&limits, text) < PINAUD_LIMITS_TEXT);
    assert_int_equal(read_record(&again, text), 0);
    assert_memory_equal(&limits, &again, sizeof(limits));
}


static void
teams(void **state)
{
    char             text[PINAUD_TEAM_TEXT];
    size_t           i;
    unsigned         reserve;
    pinaud_limits_t  limits;

    static const char  *const good[] = {
        "", "100/60", "100/60 10/1", "reserve=1", "100/60 10/1 reserve=20",
        "1000000/86400 1000000/86399 1000000/86398 1000000/86397 "
        "reserve=1000000"
    };

    static const char  *const bad[] = {
        "reserve=", "reserve=0", "reserve=01", "reserve=1000001",
        "reserve=-1", "reserve=1 ", " reserve=1", "reserve=1 5/60",
        "reserve=1 reserve=2", "5/60  reserve=1", "5/60reserve=1",
        "5/60 reserve", "5/60 Reserve=1", "5/60 x", "5/60 ", "5/60 reserve=1x"
    };

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(pinaud_team_read(&limits, &reserve, good[i],
                                          strlen(good[i])), 0);
        assert_int_equal(pinaud_team_write(&limits, reserve, text),
                         strlen(good[i]));
        assert_string_equal(text, good[i]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(pinaud_team_read(&limits, &reserve, bad[i],
                                          strlen(bad[i])), -1);
    }

    assert_int_equal(pinaud_team_read(&limits, &reserve, "5/60 reserve=78",
                                      14), 0);
    assert_int_equal(reserve, 7);
    assert_int_equal(limits.count, 1);
}


static void
longest_limit(void **state)
{
    pinaud_limits_t  limits = { .count = 0 };

    (void) state;

    assert_null(pinaud_limits_longest(&limits));
    assert_null(add(&limits, "400/60s"));
    assert_null(add(&limits, "7/1h"));
    assert_null(add(&limits, "9/1s"));
    assert_int_equal(pinaud_limits_longest(&limits)->n, 7);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(adds),
        cmocka_unit_test(refuses),
        cmocka_unit_test(bounded),
        cmocka_unit_test(reads),
        cmocka_unit_test(reads_no_other),
        cmocka_unit_test(longest),
        cmocka_unit_test(teams),
        cmocka_unit_test(longest_limit),
    };

    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
