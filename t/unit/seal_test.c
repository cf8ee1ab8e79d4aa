
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Sealing.
 */


#include "key_file.h"
#include "pinaud_seal.h"


#define SECRET  "pina_an.access-token"


static size_t
seal(pinaud_keyring_t *ring, const char *name, uint64_t version,
    unsigned char *to)
{
    size_t         aad_len, len;
    unsigned char  aad[PINAUD_SEAL_AAD_MAX];

    aad_len = pinaud_seal_aad(aad, "access", name, strlen(name), version);
    len = pinaud_seal(ring, PINAUD_DOMAIN_GATEWAY, aad, aad_len,
                      (const unsigned char *) SECRET, sizeof(SECRET) - 1, to);

    assert_true(len != 0);
    assert_true(len <= sizeof(SECRET) - 1 + PINAUD_SEAL_OVERHEAD);

    return len;
}


/* Opens from memory of exactly that size, so that a sanitizer sees all. */

static pinaud_open_e
open_in(pinaud_keyring_t *ring, pinaud_domain_e domain, const char *kind,
    const char *name, uint64_t version, const unsigned char *sealed,
    size_t sealed_len)
{
    size_t          aad_len, i, len;
    pinaud_open_e   rc;
    unsigned char   aad[PINAUD_SEAL_AAD_MAX], *copy, *to;

    copy = malloc(sealed_len + 1);
    to = malloc(sealed_len + 1);
    assert_non_null(copy);
    assert_non_null(to);

    copy = realloc(copy, sealed_len ? sealed_len : 1);
    to = realloc(to, sealed_len ? sealed_len : 1);

    memcpy(copy, sealed, sealed_len);
    memset(to, 0, sealed_len);

    aad_len = pinaud_seal_aad(aad, kind, name, strlen(name), version);
    rc = pinaud_open(ring, domain, aad, aad_len, copy, sealed_len, to, &len);

    if (rc == PINAUD_OPENED) {
        assert_int_equal(len, sizeof(SECRET) - 1);
        assert_memory_equal(to, SECRET, len);

    } else {
        assert_int_equal(len, 0);

        for (i = 0; i < sealed_len; i++) {
            assert_int_equal(to[i], 0);
        }
    }

    free(copy);
    free(to);

    return rc;
}


static pinaud_open_e
open_as(pinaud_keyring_t *ring, const char *kind, const char *name,
    uint64_t version, const unsigned char *sealed, size_t sealed_len)
{
    return open_in(ring, PINAUD_DOMAIN_GATEWAY, kind, name, version, sealed,
                   sealed_len);
}


static void
opens(void **state)
{
    size_t                len, again;
    unsigned char         sealed[256], other[256];
    pinaud_keyring_t     *ring;
    const unsigned char  *id;

    (void) state;

    ring = ring_of("2026-11:" KEY_A "\n");

    len = seal(ring, "main", 7, sealed);

    assert_int_equal(len, 2 + 7 + 12 + sizeof(SECRET) - 1 + 16);
    assert_int_equal(sealed[0], 1);
    assert_int_equal(pinaud_sealed_by(sealed, len, &id), 7);
    assert_memory_equal(id, "2026-11", 7);

    assert_int_equal(open_as(ring, "access", "main", 7, sealed, len),
                     PINAUD_OPENED);
    assert_int_equal(open_as(ring, "access", "main", 7, sealed, len),
                     PINAUD_OPENED);

    /* one secret is never sealed alike twice */

    again = seal(ring, "main", 7, other);
    assert_int_equal(again, len);
    assert_memory_not_equal(sealed + 9, other + 9, 12);
    assert_memory_not_equal(sealed + 21, other + 21, sizeof(SECRET) - 1);
    assert_int_equal(open_as(ring, "access", "main", 7, other, len),
                     PINAUD_OPENED);

    pinaud_keyring_free(ring);
}


static void
opens_nowhere_else(void **state)
{
    size_t             len;
    unsigned char      sealed[256];
    pinaud_keyring_t  *ring;

    (void) state;

    ring = ring_of("a:" KEY_A "\n");
    len = seal(ring, "main", 7, sealed);

    assert_int_equal(open_as(ring, "access", "main2", 7, sealed, len),
                     PINAUD_SEAL_FORGED);
    assert_int_equal(open_as(ring, "access", "mai", 7, sealed, len),
                     PINAUD_SEAL_FORGED);
    assert_int_equal(open_as(ring, "access", "main", 8, sealed, len),
                     PINAUD_SEAL_FORGED);
    assert_int_equal(open_as(ring, "access", "main", 77, sealed, len),
                     PINAUD_SEAL_FORGED);
    assert_int_equal(open_as(ring, "refresh", "main", 7, sealed, len),
                     PINAUD_SEAL_FORGED);

    /* a failure leaves the ring as good as it was */

    assert_int_equal(open_as(ring, "access", "main", 7, sealed, len),
                     PINAUD_OPENED);

    pinaud_keyring_free(ring);
}


static void
truncated(void **state)
{
    size_t             i, len;
    unsigned char      sealed[256];
    pinaud_open_e      rc;
    pinaud_keyring_t  *ring;

    (void) state;

    ring = ring_of("key:" KEY_A "\n");
    len = seal(ring, "main", 1, sealed);

    for (i = 0; i < len; i++) {
        rc = open_as(ring, "access", "main", 1, sealed, i);

        assert_int_equal(rc, i < 2 + 3 + 12 + 16 ? PINAUD_SEAL_MALFORMED
                                                 : PINAUD_SEAL_FORGED);
    }

    /* nor from the front */

    for (i = 1; i < len; i++) {
        rc = open_as(ring, "access", "main", 1, sealed + i, len - i);
        assert_int_not_equal(rc, PINAUD_OPENED);
    }

    /* nor with more behind */

    sealed[len] = 0;
    assert_int_equal(open_as(ring, "access", "main", 1, sealed, len + 1),
                     PINAUD_SEAL_FORGED);

    pinaud_keyring_free(ring);
}


static void
flipped(void **state)
{
    size_t             bit, len;
    unsigned char      sealed[256];
    pinaud_open_e      rc;
    pinaud_keyring_t  *ring;

    (void) state;

    ring = ring_of("key:" KEY_A "\n");
    len = seal(ring, "main", 1, sealed);

    for (bit = 0; bit < len * 8; bit++) {
        sealed[bit / 8] ^= (unsigned char) (1 << bit % 8);

        rc = open_as(ring, "access", "main", 1, sealed, len);
        assert_int_not_equal(rc, PINAUD_OPENED);

        if (bit / 8 == 0) {
            assert_int_equal(rc, PINAUD_SEAL_MALFORMED);

        } else if (bit / 8 >= 2 && bit / 8 < 5) {
            assert_int_equal(rc, PINAUD_SEAL_UNKNOWN_KEY);

        } else if (bit / 8 >= 5) {
            assert_int_equal(rc, PINAUD_SEAL_FORGED);
        }

        sealed[bit / 8] ^= (unsigned char) (1 << bit % 8);
    }

    assert_int_equal(open_as(ring, "access", "main", 1, sealed, len),
                     PINAUD_OPENED);

    pinaud_keyring_free(ring);
}


static void
rotated(void **state)
{
    size_t                old_len, new_len;
    unsigned char         old[256], new[256];
    pinaud_keyring_t     *first, *both, *second;
    const unsigned char  *id;

    (void) state;

    first = ring_of("a:" KEY_A "\n");
    old_len = seal(first, "main", 1, old);

    both = ring_of("b:" KEY_B "\na:" KEY_A "\n");
    new_len = seal(both, "main", 2, new);

    assert_int_equal(pinaud_sealed_by(new, new_len, &id), 1);
    assert_memory_equal(id, "b", 1);

    assert_int_equal(open_as(both, "access", "main", 1, old, old_len),
                     PINAUD_OPENED);
    assert_int_equal(open_as(both, "access", "main", 2, new, new_len),
                     PINAUD_OPENED);
    assert_int_equal(open_as(first, "access", "main", 2, new, new_len),
                     PINAUD_SEAL_UNKNOWN_KEY);

    /* another key by the same name */

    second = ring_of("a:" KEY_B "\n");
    assert_int_equal(open_as(second, "access", "main", 1, old, old_len),
                     PINAUD_SEAL_FORGED);

    pinaud_keyring_free(first);
    pinaud_keyring_free(both);
    pinaud_keyring_free(second);
}


static void
associated(void **state)
{
    size_t         len;
    unsigned char  aad[PINAUD_SEAL_AAD_MAX];
    char           name[300];

    (void) state;

    len = pinaud_seal_aad(aad, "access", "mainX", 4, UINT64_MAX);
    assert_int_equal(len, sizeof("access:main:18446744073709551615") - 1);
    assert_memory_equal(aad, "access:main:18446744073709551615", len);

    memset(name, 'x', sizeof(name));
    assert_int_equal(pinaud_seal_aad(aad, "access", name, sizeof(name), 1),
                     0);
    assert_int_equal(pinaud_seal_aad(aad, "access", name, 250, 1), 0);
}


/* What is bound to nothing is neither sealed nor opened. */

static void
unbound(void **state)
{
    size_t             len, sealed_len;
    unsigned char      sealed[256], to[256];
    pinaud_keyring_t  *ring;

    (void) state;

    ring = ring_of("a:" KEY_A "\n");

    assert_int_equal(pinaud_seal(ring, PINAUD_DOMAIN_GATEWAY,
                                 (const unsigned char *) "", 0,
                                 (const unsigned char *) "x", 1, sealed),
                     0);

    sealed_len = seal(ring, "main", 1, sealed);
    assert_int_equal(pinaud_open(ring, PINAUD_DOMAIN_GATEWAY,
                                 (const unsigned char *) "", 0, sealed,
                                 sealed_len, to, &len),
                     PINAUD_SEAL_FORGED);

    pinaud_keyring_free(ring);
}


/* What another program sealed, by the documents. */

static void
known(void **state)
{
    pinaud_keyring_t  *gateway, *master;

    static const unsigned char  access[] =
        "\x01\x01\x61\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x83"
        "\x1f\x29\xf6\xe1\xd5\x72\xbf\x74\xd7\x84\x8d\x94\x04\xa3\xd9\x6e"
        "\x11\xe6\x64\x33\x2c\x77\xc4\xf0\xbf\xc9\x42\x5e\xd4\x7e\x18\xe1"
        "\x96\x55\xf8";
    static const unsigned char  refresh[] =
        "\x01\x01\x61\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\xea"
        "\x4d\xf9\x00\xc1\xed\x70\xc7\x88\x65\x7c\xbf\xaa\x7d\xbb\x4f\x44"
        "\x1e\x31\x1f\x3a\x01\xac\x7f\x4b\xf5\x2b\x5a\xc8\xb7\x23\xc2\x55"
        "\x6f\x94\x8e";

    (void) state;

    master = ring_of("a:" KEY_A "\n");
    gateway = ring_of("a:gateway:" GATEWAY_A "\n");

    assert_int_equal(open_in(master, PINAUD_DOMAIN_GATEWAY, "access", "main",
                             7, access, sizeof(access) - 1),
                     PINAUD_OPENED);
    assert_int_equal(open_in(master, PINAUD_DOMAIN_AGENT, "refresh", "main",
                             7, refresh, sizeof(refresh) - 1),
                     PINAUD_OPENED);

    assert_int_equal(open_in(gateway, PINAUD_DOMAIN_GATEWAY, "access", "main",
                             7, access, sizeof(access) - 1),
                     PINAUD_OPENED);
    assert_int_equal(open_in(gateway, PINAUD_DOMAIN_AGENT, "refresh", "main",
                             7, refresh, sizeof(refresh) - 1),
                     PINAUD_SEAL_GATEWAY_KEY);

    /* the domains have keys of their own, whatever is bound to the value */

    assert_int_equal(open_in(master, PINAUD_DOMAIN_AGENT, "access", "main",
                             7, access, sizeof(access) - 1),
                     PINAUD_SEAL_FORGED);
    assert_int_equal(open_in(master, PINAUD_DOMAIN_GATEWAY, "refresh", "main",
                             7, refresh, sizeof(refresh) - 1),
                     PINAUD_SEAL_FORGED);
    assert_int_equal(open_in(gateway, PINAUD_DOMAIN_GATEWAY, "refresh",
                             "main", 7, refresh, sizeof(refresh) - 1),
                     PINAUD_SEAL_FORGED);

    pinaud_keyring_free(master);
    pinaud_keyring_free(gateway);
}


/* What a gateway's ring seals its agents open, but it is not for the rest. */

static void
gateways(void **state)
{
    size_t             len;
    unsigned char      sealed[256];
    pinaud_keyring_t  *gateway, *master, *mixed;

    static const unsigned char  aad[] = "refresh:main:1";

    (void) state;

    master = ring_of("b:" KEY_B "\na:" KEY_A "\n");
    gateway = ring_of("a:gateway:" GATEWAY_A "\n");
    mixed = ring_of("a:gateway:" GATEWAY_A "\nb:" KEY_B "\n");

    assert_int_equal(pinaud_keyring_master(master), 1);
    assert_int_equal(pinaud_keyring_master(gateway), 0);
    assert_int_equal(pinaud_keyring_master(mixed), 0);

    len = seal(gateway, "main", 7, sealed);
    assert_int_equal(open_as(master, "access", "main", 7, sealed, len),
                     PINAUD_OPENED);

    assert_int_equal(pinaud_seal(gateway, PINAUD_DOMAIN_AGENT, aad,
                                 sizeof(aad) - 1, aad, 1, sealed),
                     0);
    assert_int_equal(pinaud_seal(mixed, PINAUD_DOMAIN_AGENT, aad,
                                 sizeof(aad) - 1, aad, 1, sealed),
                     0);

    pinaud_keyring_free(master);
    pinaud_keyring_free(gateway);
    pinaud_keyring_free(mixed);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(opens),
        cmocka_unit_test(opens_nowhere_else),
        cmocka_unit_test(truncated),
        cmocka_unit_test(flipped),
        cmocka_unit_test(rotated),
        cmocka_unit_test(associated),
        cmocka_unit_test(unbound),
        cmocka_unit_test(known),
        cmocka_unit_test(gateways),
    };

    return cmocka_run_group_tests_name("seal", tests, setup, teardown);
}
