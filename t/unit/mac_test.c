
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Message authentication of records.
 */


#include "key_file.h"
#include "pinaud_mac.h"


/* of the account 549755885175 with an empty field, as another program has it */
#define MAC_A  "a:lsagst1TAKPyV42DpZRZLnYDycjeSYtcZj3JvoG+UAc="


static size_t
account(unsigned char *to, const char *id)
{
    unsigned char  *p;

    p = pinaud_mac_field(to, "account", 7);
    p = pinaud_mac_field(p, id, strlen(id));
    p = pinaud_mac_field(p, NULL, 0);

    return (size_t) (p - to);
}


/* Checks from memory of exactly that size, so that a sanitizer sees all. */

static pinaud_mac_e
check(pinaud_keyring_t *ring, const unsigned char *data, size_t len,
    const char *mac, size_t mac_len)
{
    char           *copy;
    pinaud_mac_e    rc;

    copy = malloc(mac_len ? mac_len : 1);
    assert_non_null(copy);
    memcpy(copy, mac, mac_len);

    rc = pinaud_mac_check(ring, data, len, copy, mac_len);

    free(copy);

    return rc;
}


static void
known(void **state)
{
    char               mac[PINAUD_MAC_MAX];
    size_t             len;
    unsigned           i;
    unsigned char      data[64];
    pinaud_keyring_t  *ring;

    static const char  *const files[] = {
        "a:" KEY_A, "a:gateway:" GATEWAY_A
    };

    (void) state;

    len = account(data, "549755885175");
    assert_int_equal(len, 3 * PINAUD_MAC_FRAME + 7 + 12);

    for (i = 0; i < 2; i++) {
        ring = ring_of(files[i]);

        /* again and again alike */

        assert_int_equal(pinaud_mac(ring, data, len, mac),
                         sizeof(MAC_A) - 1);
        assert_string_equal(mac, MAC_A);
        assert_int_equal(check(ring, data, len, mac, strlen(mac)),
                         PINAUD_MAC_GOOD);
        assert_int_equal(pinaud_mac(ring, data, len, mac),
                         sizeof(MAC_A) - 1);
        assert_string_equal(mac, MAC_A);

        pinaud_keyring_free(ring);
    }

    ring = ring_of("12345678901234567890123456789012:" KEY_A);
    assert_int_equal(pinaud_mac(ring, data, len, mac), PINAUD_MAC_MAX - 1);
    assert_int_equal(strlen(mac), PINAUD_MAC_MAX - 1);
    pinaud_keyring_free(ring);
}


static void
framed(void **state)
{
    unsigned char   one[64], two[64], *p;

    static const unsigned char  bytes[] = "\0\0\0\2ab\0\0\0\0";

    (void) state;

    p = pinaud_mac_field(one, "ab", 2);
    p = pinaud_mac_field(p, "", 0);

    assert_int_equal(p - one, sizeof(bytes) - 1);
    assert_memory_equal(one, bytes, sizeof(bytes) - 1);

    p = pinaud_mac_field(two, "a", 1);
    p = pinaud_mac_field(p, "b", 1);

    assert_int_equal(p - two, sizeof(bytes) - 1);
    assert_memory_not_equal(two, bytes, sizeof(bytes) - 1);
}


static void
refused(void **state)
{
    char               mac[PINAUD_MAC_MAX + 64];
    size_t             bit, i, len, mac_len;
    unsigned char      data[64], other[64];
    pinaud_mac_e       rc;
    pinaud_keyring_t  *ring;

    (void) state;

    ring = ring_of("key:" KEY_A);
    len = account(data, "549755885175");
    mac_len = pinaud_mac(ring, data, len, mac);

    /* of other data */

    i = account(other, "549755885176");
    assert_int_equal(check(ring, other, i, mac, mac_len), PINAUD_MAC_WRONG);
    assert_int_equal(check(ring, data, len - 1, mac, mac_len),
                     PINAUD_MAC_WRONG);
    assert_int_equal(check(ring, data, 0, mac, mac_len), PINAUD_MAC_WRONG);

    /* altered, cut, longer */

    for (bit = 0; bit < mac_len * 8; bit++) {
        mac[bit / 8] = (char) (mac[bit / 8] ^ (1 << bit % 8));

        rc = check(ring, data, len, mac, mac_len);
        assert_int_equal(rc, bit / 8 < 3 ? PINAUD_MAC_UNKNOWN_KEY
                                         : PINAUD_MAC_WRONG);

        mac[bit / 8] = (char) (mac[bit / 8] ^ (1 << bit % 8));
    }

    for (i = 0; i < mac_len; i++) {
        assert_int_equal(check(ring, data, len, mac, i), PINAUD_MAC_WRONG);
    }

    memset(mac + mac_len, '=', 64);

    for (i = 1; i < 64; i++) {
        assert_int_equal(check(ring, data, len, mac, mac_len + i),
                         PINAUD_MAC_WRONG);
    }

    assert_int_equal(pinaud_mac_by(mac, mac_len), 3);
    assert_int_equal(pinaud_mac_by(mac + 3, mac_len - 3), 0);

    assert_int_equal(check(ring, data, len, mac, mac_len), PINAUD_MAC_GOOD);

    pinaud_keyring_free(ring);
}


static void
rotated(void **state)
{
    char               new[PINAUD_MAC_MAX], old[PINAUD_MAC_MAX];
    size_t             len;
    unsigned char      data[64];
    pinaud_keyring_t  *both, *first, *second;

    (void) state;

    len = account(data, "549755885175");

    first = ring_of("a:" KEY_A);
    both = ring_of("b:" KEY_B "\na:" KEY_A);
    second = ring_of("a:" KEY_B);

    pinaud_mac(first, data, len, old);
    pinaud_mac(both, data, len, new);

    assert_memory_equal(new, "b:", 2);
    assert_int_equal(check(both, data, len, old, strlen(old)),
                     PINAUD_MAC_GOOD);
    assert_int_equal(check(both, data, len, new, strlen(new)),
                     PINAUD_MAC_GOOD);
    assert_int_equal(check(first, data, len, new, strlen(new)),
                     PINAUD_MAC_UNKNOWN_KEY);

    /* another key by the same name */

    assert_int_equal(check(second, data, len, old, strlen(old)),
                     PINAUD_MAC_WRONG);

    pinaud_keyring_free(first);
    pinaud_keyring_free(both);
    pinaud_keyring_free(second);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(known),
        cmocka_unit_test(framed),
        cmocka_unit_test(refused),
        cmocka_unit_test(rotated),
    };

    return cmocka_run_group_tests_name("seal", tests, setup, teardown);
}
