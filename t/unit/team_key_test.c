
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Team keys: their form, their checksum, and what is known of them.
 */


#include "key_file.h"
#include "pinaud_team_key.h"


/* CRC32 as zlib.crc32() of Python tells it: 0x67b7301e, in base62 1tl6kA. */

#define GOOD  "pinaud_0123456789ABCDEFGHIJKLMNOPQRST" "1tl6kA"


static int
check(const char *key)
{
    return pinaud_team_key_check((const unsigned char *) key, strlen(key));
}


static void
test_made(void **state)
{
    char      key[PINAUD_TEAM_KEY_LEN + 1], last[PINAUD_TEAM_KEY_LEN + 1];
    unsigned  i;

    (void) state;

    last[0] = '\0';

    for (i = 0; i < 1000; i++) {
        assert_int_equal(pinaud_team_key_make(key), 0);
        assert_int_equal(strlen(key), 43);
        assert_memory_equal(key, "pinaud_", 7);
        assert_true(check(key));
        assert_string_not_equal(key, last);
        strcpy(last, key);
    }
}


/* 62 characters, each as often as any other: 30,000 of them, chi-squared. */

static void
test_unbiased(void **state)
{
    char      key[PINAUD_TEAM_KEY_LEN + 1];
    double    expected, sum;
    unsigned  count[256], i, k, seen;

    (void) state;

    memset(count, 0, sizeof(count));

    for (i = 0; i < 1000; i++) {
        assert_int_equal(pinaud_team_key_make(key), 0);

        for (k = 7; k < 7 + PINAUD_TEAM_KEY_RANDOM; k++) {
            count[(unsigned char) key[k]]++;
        }
    }

    expected = 30000.0 / 62;
    sum = 0;
    seen = 0;

    for (i = 0; i < 256; i++) {
        if (count[i]) {
            seen++;
            sum += (count[i] - expected) * (count[i] - expected) / expected;
        }
    }

    assert_int_equal(seen, 62);

    /* of 61 degrees of freedom: by chance once in a billion runs */

    assert_true(sum < 150);
}


static void
test_checksum(void **state)
{
    char      key[PINAUD_TEAM_KEY_LEN + 1];
    size_t    i;

    (void) state;

    assert_true(check(GOOD));

    /* any one character that is another one, and any two that are swapped */

    for (i = 0; i < PINAUD_TEAM_KEY_LEN; i++) {
        strcpy(key, GOOD);
        key[i] = (key[i] == 'x') ? 'y' : 'x';
        assert_false(check(key));
    }

    for (i = 7; i < PINAUD_TEAM_KEY_LEN - 1; i++) {
        strcpy(key, GOOD);
        key[i] = GOOD[i + 1];
        key[i + 1] = GOOD[i];
        assert_false(check(key));
    }
}


static void
test_form(void **state)
{
    unsigned  i;

    static const char  *wrong[] = {
        "", "p", "pinaud_", "growth-key", "PINAUD_" "0123456789ABCDEF",
        GOOD "x", " " GOOD, GOOD " ", GOOD "\n", "Bearer " GOOD,
        "Pinaud_0123456789ABCDEFGHIJKLMNOPQRST1tl6kA",
        "pinaud-0123456789ABCDEFGHIJKLMNOPQRST1tl6kA",
        "pinaud_0123456789ABCDEFGHIJKLMNOPQRS-1tl6kA",
        "pinaud_0123456789ABCDEFGHIJKLMNOPQRS_1tl6kA",
        "pinaud_0123456789ABCDEFGHIJKLMNOPQRS\xc3\xa4" "1tl6k",
        "pinaud_0123456789ABCDEFGHIJKLMNOPQRST1TL6KA"
    };

    (void) state;

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(check(wrong[i]));
    }

    /* the length is what counts, and not a zero */

    assert_false(pinaud_team_key_check((const unsigned char *) GOOD,
                                       PINAUD_TEAM_KEY_LEN - 1));
    assert_false(pinaud_team_key_check((const unsigned char *) GOOD "\0",
                                       PINAUD_TEAM_KEY_LEN + 1));
}


static void
test_hash(void **state)
{
    char              hex[PINAUD_TEAM_KEY_HEX + 1];
    unsigned          i;
    unsigned char     hash[PINAUD_TEAM_KEY_HASH];
    pinaud_hasher_t  *hasher;

    (void) state;

    hasher = pinaud_hasher_create();
    assert_non_null(hasher);

    for (i = 0; i < 3; i++) {
        assert_int_equal(pinaud_team_key_hash(hasher,
                                              (const unsigned char *) "abcd",
                                              3 + (i == 1), hash), 0);
        pinaud_team_key_hex(hash, hex);

        assert_string_equal(hex, i == 1 ? "88d4266fd4e6338d13b845fcf289579d"
                                          "209c897823b9217da3e161936f031589"
                                        : "ba7816bf8f01cfea414140de5dae2223"
                                          "b00361a396177a9cb410ff61f20015ad");
    }

    pinaud_hasher_free(hasher);
    pinaud_hasher_free(NULL);

    assert_true(pinaud_team_key_is_hex((unsigned char *) hex, 64));
    assert_false(pinaud_team_key_is_hex((unsigned char *) hex, 63));

    hex[5] = 'F';
    assert_false(pinaud_team_key_is_hex((unsigned char *) hex, 64));

    hex[5] = 'g';
    assert_false(pinaud_team_key_is_hex((unsigned char *) hex, 64));
}


static void
test_prefix(void **state)
{
    (void) state;

    assert_true(pinaud_team_key_is_prefix("pinaud_01234567", 15));
    assert_true(pinaud_team_key_is_prefix("pinaud_0", 8));
    assert_false(pinaud_team_key_is_prefix("pinaud_", 7));
    assert_false(pinaud_team_key_is_prefix("pinaud_0123456-", 15));
    assert_false(pinaud_team_key_is_prefix("pinaud_012345678", 16));
    assert_false(pinaud_team_key_is_prefix("0123456789", 10));
    assert_false(pinaud_team_key_is_prefix(GOOD, PINAUD_TEAM_KEY_LEN));
}


static void
test_mac(void **state)
{
    char               hex[PINAUD_TEAM_KEY_HEX + 1], mac[PINAUD_MAC_MAX];
    size_t             len;
    pinaud_keyring_t  *ring;

    (void) state;

    ring = ring_of("a:" KEY_A "\n");

    memset(hex, 'a', PINAUD_TEAM_KEY_HEX);
    hex[PINAUD_TEAM_KEY_HEX] = '\0';

    len = pinaud_team_key_mac(ring, hex, "growth", 6, mac);
    assert_int_equal(len, 46);

    assert_int_equal(pinaud_team_key_mac_check(ring, hex, "growth", 6, mac,
                                               len), PINAUD_MAC_GOOD);
    assert_int_equal(pinaud_team_key_mac_check(ring, hex, "growt", 5, mac,
                                               len), PINAUD_MAC_WRONG);
    assert_int_equal(pinaud_team_key_mac_check(ring, hex, "brands", 6, mac,
                                               len), PINAUD_MAC_WRONG);

    hex[63] = 'b';
    assert_int_equal(pinaud_team_key_mac_check(ring, hex, "growth", 6, mac,
                                               len), PINAUD_MAC_WRONG);

    mac[0] = 'b';
    assert_int_equal(pinaud_team_key_mac_check(ring, hex, "growth", 6, mac,
                                               len), PINAUD_MAC_UNKNOWN_KEY);

    pinaud_keyring_free(ring);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_unbiased),
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_mac),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
