
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Names, ids and keys.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "pinaud_keys.h"


#define NAME64  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345678._@"
#define ID18    "123456789012345678"


static int
is_name(const char *text)
{
    return pinaud_is_name((const unsigned char *) text, strlen(text));
}


static int
is_account(const char *text)
{
    return pinaud_is_account((const unsigned char *) text, strlen(text));
}


static void
names(void **state)
{
    (void) state;

    assert_int_equal(strlen(NAME64), 64);

    assert_true(is_name("a"));
    assert_true(is_name("growth-team@eu.example_1"));
    assert_true(is_name(NAME64));

    assert_false(is_name(""));
    assert_false(is_name(NAME64 "x"));
}


static void
names_by_byte(void **state)
{
    int            i, expected;
    unsigned char  ch;

    (void) state;

    for (i = 0; i < 256; i++) {
        ch = (unsigned char) i;

        expected = i != 0
                   && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "abcdefghijklmnopqrstuvwxyz0123456789._@-", i)
                      != NULL;

        assert_int_equal(pinaud_is_name(&ch, 1), expected);
    }
}


static void
accounts(void **state)
{
    (void) state;

    assert_true(is_account("0"));
    assert_true(is_account(ID18));

    assert_false(is_account(""));
    assert_false(is_account(ID18 "9"));
    assert_false(is_account("12a"));
    assert_false(is_account("-1"));
    assert_false(is_account(" 1"));
    assert_false(is_account("1\n"));
    assert_false(is_account("\xd9\xa1"));
}


/* A name need not end where its memory does. */

static void
keys(void **state)
{
    char  key[PINAUD_KEY_MAX];

    (void) state;

#define check(call, expected)                                                \
    assert_int_equal(call, strlen(expected));                                \
    assert_string_equal(key, expected)

    check(pinaud_key_credential(key, "mainXX", 4),
          "pinaud:credential:{main}");
    check(pinaud_key_secret(key, "mainXX", 4), "pinaud:secret:{main}");
    check(pinaud_key_calls(key, "mainXX", 4), "pinaud:calls:{main}");
    check(pinaud_key_writes(key, "mainXX", 4), "pinaud:writes:{main}");
    check(pinaud_key_version(key, "mainXX", 4), "pinaud:version:{main}");
    check(pinaud_key_cooldown(key, "mainXX", 4), "pinaud:cooldown:{main}");
    check(pinaud_key_credential_accounts(key, "mainXX", 4),
          "pinaud:accounts:{main}");
    check(pinaud_key_account(key, "549XX", 3), "pinaud:account:549");
    check(pinaud_key_team_key(key, "c0ffeeXX", 6), "pinaud:team-key:c0ffee");
    check(pinaud_key_account_bucket(key, "mainXX", 4, "549XX", 3),
          "pinaud:bucket:{main}:549");
    check(pinaud_key_team_bucket(key, "mainXX", 4, "549XX", 3, "growthX", 6),
          "pinaud:bucket:{main}:549:growth");
    check(pinaud_key_reserve(key, "mainXX", 4, "549XX", 3, "growthX", 6),
          "pinaud:reserve:{main}:549:growth");
    check(pinaud_key_shared(key, "mainXX", 4, "549XX", 3),
          "pinaud:shared:{main}:549");
    check(pinaud_key_leased_calls(key, "mainXX", 4),
          "pinaud:leased-calls:{main}");
    check(pinaud_key_leased_writes(key, "mainXX", 4),
          "pinaud:leased-writes:{main}");
    check(pinaud_key_leased(key, "mainXX", 4, "549XX", 3),
          "pinaud:leased:{main}:549");
    check(pinaud_key_lease(key, "mainXX", 4, "549XX", 3, "a1-7X", 4),
          "pinaud:lease:{main}:549:a1-7");
    check(pinaud_key_refund(key, "mainXX", 4, "0a1bX", 4),
          "pinaud:refund:{main}:0a1b");
}


static void
longest_key(void **state)
{
    char  key[PINAUD_KEY_MAX];

    (void) state;

    check(pinaud_key_team_bucket(key, NAME64, 64, ID18, 18, NAME64, 64),
          "pinaud:bucket:{" NAME64 "}:" ID18 ":" NAME64);
    check(pinaud_key_reserve(key, NAME64, 64, ID18, 18, NAME64, 64),
          "pinaud:reserve:{" NAME64 "}:" ID18 ":" NAME64);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(names_by_byte),
        cmocka_unit_test(accounts),
        cmocka_unit_test(keys),
        cmocka_unit_test(longest_key),
    };

    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
