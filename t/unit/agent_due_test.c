
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What an agent decides.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "ctl_agent_due.h"


#define DAY  86400
#define NOW  1800000000ull             /* seconds */


/* A token of 30 days, refreshed when it was granted, half of them over. */

static ctl_case_t
half_over(void)
{
    ctl_case_t  one;

    memset(&one, 0, sizeof(ctl_case_t));
    one.usable = 1;
    one.version = 7;
    one.refreshed = NOW - 15 * DAY;
    one.expires = NOW + 15 * DAY;
    one.now = NOW * 1000;
    one.takeover = 600000;

    return one;
}


static ctl_attempt_t
attempt_of(const char *text)
{
    ctl_attempt_t  attempt;

    assert_int_equal(ctl_attempt_read(text, &attempt), 0);

    return attempt;
}


static void
attempts(void **state)
{
    size_t         i;
    ctl_attempt_t  attempt;

    static const char  *const wrong[] = {
        "", "x", "3 gw1 ab12 1800000000000 1", "3 gw1 ab12 18x 1 00ff",
        "3 gw1 ab12 1800000000000 1 00ff more", "-3 g a 1 1 f",
        "3 g@1 ab12 1800000000000 1 00ff", "3 gw1 ab12 1800000000000 1 00FG",
    };

    (void) state;

    attempt = attempt_of("3 gw-1.example ab12 1800000000000 2 00ff");
    assert_int_equal(attempt.refresh_version, 3);
    assert_string_equal(attempt.host, "gw-1.example");
    assert_string_equal(attempt.journal, "ab12");
    assert_true(attempt.at == 1800000000000ull);
    assert_int_equal(attempt.turn, 2);
    assert_string_equal(attempt.id, "00ff");

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(ctl_attempt_read(wrong[i], &attempt), -1);
    }
}


static void
wishes(void **state)
{
    size_t    i;
    uint64_t  version;

    static const char  *const wrong[] = {
        "", "7", "7 ", "refused", "7 Refused", "7 refused ", "7  refused",
        "x refused", "-7 refused", "7refused", "1234567890123456789 refused",
    };

    (void) state;

    assert_int_equal(ctl_wish_read("7 refused", &version), CTL_WISH_REFUSED);
    assert_int_equal(version, 7);
    assert_int_equal(ctl_wish_read("0 worked", &version), CTL_WISH_WORKED);
    assert_int_equal(ctl_wish_read("8 expired", &version), CTL_WISH_EXPIRED);
    assert_int_equal(ctl_wish_read("9 operator", &version),
                     CTL_WISH_OPERATOR);
    assert_int_equal(ctl_wish_read("9 force", &version), CTL_WISH_FORCE);

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(ctl_wish_read(wrong[i], &version), CTL_WISH_NONE);
    }
}


/* Between 80 and 90 % of the lifetime, by the name. */

static void
due_at(void **state)
{
    ctl_case_t  one;

    (void) state;

    one = half_over();
    assert_true(ctl_due_at(&one) == NOW + 12 * DAY);
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);

    one.spread = CTL_SPREAD - 1;
    assert_in_range(ctl_due_at(&one), NOW + 9 * DAY, NOW + 9 * DAY + 3000);

    one.now = (NOW + 9 * DAY - 1) * 1000;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
    one.now = (NOW + 10 * DAY) * 1000;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);

    /* one that was put: 30 days is what is taken for its lifetime */

    one = half_over();
    one.refreshed = 0;
    assert_true(ctl_due_at(&one) == NOW + 12 * DAY);

    one.expires = NOW + 3600;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);

    one.expires = 1;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);

    /* nothing is known of it; or only when it came */

    one.expires = 0;
    assert_true(ctl_due_at(&one) == 0);
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);

    one.refreshed = NOW - 26 * DAY;
    assert_true(ctl_due_at(&one) == NOW + DAY);
}


/* A refresh token that would expire unused is used in its last week, once. */

static void
keeps_alive(void **state)
{
    ctl_case_t  one;

    (void) state;

    one = half_over();
    one.refresh_expires = NOW + 6 * DAY;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);

    one.refresh_expires = NOW + 8 * DAY;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);

    /* where that brought no other one, it is no use */

    one.refresh_expires = NOW + 6 * DAY;
    one.refreshed = NOW;
    one.expires = NOW + 30 * DAY;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
}


static void
never_due(void **state)
{
    ctl_case_t  one;

    (void) state;

    one = half_over();
    one.expires = NOW - 1;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);

    one.paused = 1;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);

    one.paused = 0;
    one.usable = 0;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);

    one.usable = 1;
    one.unauthorized = 1;
    one.wish = CTL_WISH_FORCE;
    one.wish_version = 7;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
    assert_true(ctl_wish_over(&one));
}


static void
wanted(void **state)
{
    unsigned    i;
    ctl_case_t  one;

    (void) state;

    for (i = CTL_WISH_REFUSED; i <= CTL_WISH_FORCE; i++) {
        one = half_over();
        one.wish = (ctl_wish_e) i;
        one.wish_version = 7;
        assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);
        assert_false(ctl_wish_over(&one));

        one.wish_version = 6;
        assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
        assert_true(ctl_wish_over(&one));

        /* further ahead than anybody can have seen */

        one.wish_version = 7 + CTL_WISH_JUMP - 1;
        assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);
        assert_false(ctl_wish_over(&one));

        one.wish_version++;
        assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
        assert_true(ctl_wish_over(&one));
    }
}


/* Tokens that are never good for anything come more and more seldom. */

static void
demands(void **state)
{
    ctl_case_t  one;

    (void) state;

    one = half_over();
    one.wish = CTL_WISH_REFUSED;
    one.wish_version = 7;
    one.refreshed = NOW;
    one.expires = NOW + 30 * DAY;

    one.demands = 1;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
    one.now += 1000;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);

    one.demands = 4;
    one.now = NOW * 1000 + 7999;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
    one.now = NOW * 1000 + 8000;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);

    one.demands = 1000000;
    one.now = NOW * 1000 + 599999;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
    one.now = NOW * 1000 + 600000;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);

    /* one that worked before in a second, like all others */

    one.now = NOW * 1000 + 999;
    one.wish = CTL_WISH_WORKED;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
    one.wish = CTL_WISH_FORCE;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
    one.now = NOW * 1000 + 1000;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);
    one.wish = CTL_WISH_WORKED;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);

    /* a clock that was set back: at once */

    one.wish = CTL_WISH_REFUSED;
    one.now = (NOW - 10) * 1000;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);
}


static void
owner(void **state)
{
    ctl_case_t     one;
    ctl_attempt_t  attempt;

    (void) state;

    one = half_over();
    attempt = attempt_of("3 gw1 ab12 1799999999000 1 00ff");
    one.attempt = &attempt;

    /* its owner brings it to an end, due or not */

    one.own = 1;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);
    one.paused = 1;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);

    /* and so where the store has lost it */

    one = half_over();
    one.unresolved = 1;
    assert_int_equal(ctl_due(&one), CTL_DUE_REFRESH);
}


static void
others(void **state)
{
    ctl_case_t     one;
    ctl_attempt_t  attempt;

    (void) state;

    one = half_over();
    attempt = attempt_of("3 gw1 ab12 1800000000000 1 00ff");
    one.attempt = &attempt;

    /* nobody touches it: the token is good, or it is not old enough */

    one.now = attempt.at + one.takeover;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);

    one.expires = NOW + DAY / 2;
    assert_int_equal(ctl_due(&one), CTL_DUE_TAKEOVER);
    one.now--;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);

    /* near expiry is the last 20th, not when it is due */

    one.now = attempt.at + one.takeover;
    one.refreshed = NOW - 29 * DAY + 2 * DAY;
    one.expires = NOW + 3 * DAY;
    assert_true(ctl_due_at(&one) <= NOW);
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);

    /* it is refused */

    one.wish = CTL_WISH_WORKED;
    one.wish_version = 7;
    assert_int_equal(ctl_due(&one), CTL_DUE_TAKEOVER);
    one.wish_version = 6;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
    one.wish_version = 7;
    one.now--;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);

    /* an operator who asks is no reason, one who forces is, at any age */

    one.now = attempt.at + one.takeover;
    one.wish = CTL_WISH_OPERATOR;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
    one.wish = CTL_WISH_FORCE;
    assert_int_equal(ctl_due(&one), CTL_DUE_TAKEOVER);
    one.now = attempt.at;
    assert_int_equal(ctl_due(&one), CTL_DUE_TAKEOVER);

    /* it is taken over once */

    attempt.turn = 2;
    one.now = attempt.at + 100 * one.takeover;
    assert_int_equal(ctl_due(&one), CTL_DUE_TAKEOVER);
    one.wish = CTL_WISH_WORKED;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
    one.expires = NOW;
    assert_int_equal(ctl_due(&one), CTL_DUE_NOT);
}


static void
backoff(void **state)
{
    uint64_t  n;
    unsigned  random;

    (void) state;

    assert_true(ctl_backoff(0, 5) == 0);
    assert_true(ctl_backoff(1, 0) == 1000);
    assert_true(ctl_backoff(2, 0) == 2000);
    assert_true(ctl_backoff(10, 0) == 512000);
    assert_true(ctl_backoff(11, 0) == 600000);
    assert_true(ctl_backoff(UINT64_MAX, 0) == 600000);

    for (n = 1; n < 70; n++) {
        for (random = 0; random < 5000; random += 7) {
            assert_in_range(ctl_backoff(n, random), ctl_backoff(n, 0) / 2,
                            ctl_backoff(n, 0));
        }
    }

    assert_true(ctl_backoff(3, 1023) < 2010);
}


static void
spread(void **state)
{
    char      name[] = "credential-000";
    int       i, seen[10];
    unsigned  n;

    (void) state;

    memset(seen, 0, sizeof(seen));

    for (i = 0; i < 1000; i++) {
        name[11] = (char) ('0' + i / 100);
        name[12] = (char) ('0' + i / 10 % 10);
        name[13] = (char) ('0' + i % 10);

        n = ctl_spread(name);
        assert_in_range(n, 0, CTL_SPREAD - 1);
        seen[n / (CTL_SPREAD / 10)]++;
    }

    for (i = 0; i < 10; i++) {
        assert_in_range(seen[i], 50, 200);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(attempts),
        cmocka_unit_test(wishes),
        cmocka_unit_test(due_at),
        cmocka_unit_test(keeps_alive),
        cmocka_unit_test(never_due),
        cmocka_unit_test(wanted),
        cmocka_unit_test(demands),
        cmocka_unit_test(owner),
        cmocka_unit_test(others),
        cmocka_unit_test(backoff),
        cmocka_unit_test(spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
