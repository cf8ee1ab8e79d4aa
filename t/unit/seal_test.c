
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Sealing, and what a key file may hold.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "pinaud_seal.h"


#define KEY_A   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B   "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="
#define SECRET  "pina_an.access-token"


static char  dir[] = "/tmp/pinaud_seal_XXXXXX";
static char  path[64];


static int
setup(void **state)
{
    (void) state;

    if (mkdtemp(dir) == NULL) {
        return -1;
    }

    snprintf(path, sizeof(path), "%s/keys", dir);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    unlink(path);

    return rmdir(dir);
}


static pinaud_keyring_t *
load(const char *text, size_t len, mode_t mode, char *error)
{
    FILE  *file;

    unlink(path);

    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);

    error[0] = '\0';

    return pinaud_keyring_load(path, error);
}


static pinaud_keyring_t *
ring_of(const char *text)
{
    char               error[PINAUD_SEAL_ERROR];
    pinaud_keyring_t  *ring;

    ring = load(text, strlen(text), 0600, error);
    assert_string_equal(error, "");
    assert_non_null(ring);

    return ring;
}


static size_t
seal(pinaud_keyring_t *ring, const char *name, uint64_t version,
    unsigned char *to)
{
    size_t         aad_len, len;
    unsigned char  aad[PINAUD_SEAL_AAD_MAX];

    aad_len = pinaud_seal_aad(aad, "access", name, strlen(name), version);
    len = pinaud_seal(ring, aad, aad_len, (const unsigned char *) SECRET,
                      sizeof(SECRET) - 1, to);

    assert_true(len != 0);
    assert_true(len <= sizeof(SECRET) - 1 + PINAUD_SEAL_OVERHEAD);

    return len;
}


/* Opens from memory of exactly that size, so that a sanitizer sees all. */

static pinaud_open_e
open_as(pinaud_keyring_t *ring, const char *kind, const char *name,
    uint64_t version, const unsigned char *sealed, size_t sealed_len)
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
    rc = pinaud_open(ring, aad, aad_len, copy, sealed_len, to, &len);

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

    assert_int_equal(pinaud_seal(ring, (const unsigned char *) "", 0,
                                 (const unsigned char *) "x", 1, sealed),
                     0);

    sealed_len = seal(ring, "main", 1, sealed);
    assert_int_equal(pinaud_open(ring, (const unsigned char *) "", 0, sealed,
                                 sealed_len, to, &len),
                     PINAUD_SEAL_FORGED);

    pinaud_keyring_free(ring);
}


static void
good_files(void **state)
{
    (void) state;

    pinaud_keyring_free(ring_of("a:" KEY_A));
    pinaud_keyring_free(ring_of("a:" KEY_A "\r\n"));
    pinaud_keyring_free(ring_of("\n# old\n\n  b-1._X:" KEY_B "  \na:" KEY_A));
    pinaud_keyring_free(ring_of("12345678901234567890123456789012:" KEY_A));
}


static void
bad_files(void **state)
{
    char               error[PINAUD_SEAL_ERROR], expected[PINAUD_SEAL_ERROR];
    size_t             i;
    pinaud_keyring_t  *ring;

    static const struct {
        const char  *text;
        const char  *reason;
    } cases[] = {
        { "", " has no key: \"pinaudctl seal-key generate\" makes one" },
        { "# a:" KEY_A "\n",
          " has no key: \"pinaudctl seal-key generate\" makes one" },
        { "a" KEY_A "\n", ", line 1: is not \"id:base64\"" },
        { "a:" KEY_A "\n" KEY_B "\n", ", line 2: is not \"id:base64\"" },
        { ":" KEY_A, ", line 1: the key's id is 1 to 32 characters" },
        { "123456789012345678901234567890123:" KEY_A,
          ", line 1: the key's id is 1 to 32 characters" },
        { "a b:" KEY_A, ", line 1: the key's id is letters, digits, \".\", "
          "\"_\" and \"-\"" },
        { "\n\na:" KEY_A "\na:" KEY_B,
          ", line 4: the key's id stands in a line above already" },
        { "a:", ", line 1: the key is not 32 bytes in base64" },
        { "a:AAEC", ", line 1: the key is not 32 bytes in base64" },
        { "a:" KEY_A "=", ", line 1: the key is not 32 bytes in base64" },
        { "a: AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
          ", line 1: the key is not 32 bytes in base64" },
        { "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh==",
          ", line 1: the key is not 32 bytes in base64" },
        { "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
          ", line 1: the key is not 32 bytes in base64" },
        { "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8f",
          ", line 1: the key is not 32 bytes in base64" },
        { "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYX-BkaGxwdHh8=",
          ", line 1: the key is not 32 bytes in base64" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ring = load(cases[i].text, strlen(cases[i].text), 0600, error);
        assert_null(ring);

        snprintf(expected, sizeof(expected), "seal key file \"%s\"%s", path,
                 cases[i].reason);
        assert_string_equal(error, expected);
        assert_null(strstr(error, "AAEC"));
    }

    assert_null(load("a:" KEY_A "\0\n", 48, 0600, error));
    assert_non_null(strstr(error, "line 1: the key is not 32 bytes"));
}


static void
too_much(void **state)
{
    int    i;
    char  *text, *p;
    char   error[PINAUD_SEAL_ERROR];

    (void) state;

    text = malloc(65537);
    assert_non_null(text);
    memset(text, '\n', 65537);
    memcpy(text, "a:" KEY_A, 46);

    pinaud_keyring_free(load(text, 65536, 0600, error));
    assert_string_equal(error, "");

    assert_null(load(text, 65537, 0600, error));
    assert_non_null(strstr(error, "is larger than 64 KB"));

    for (p = text, i = 1; i <= 33; i++) {
        p += sprintf(p, "k%d:%s\n", i, KEY_A);
    }

    assert_null(load(text, (size_t) (p - text), 0600, error));
    assert_non_null(strstr(error, "line 33: is one key too many"));

    free(text);
}


static void
modes(void **state)
{
    char    error[PINAUD_SEAL_ERROR], expected[PINAUD_SEAL_ERROR];
    size_t  i;

    static const mode_t  bad[] = { 0644, 0604, 0602, 0601, 0444, 0777 };
    static const mode_t  good[] = { 0600, 0400, 0640, 0440, 0660 };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(load("a:" KEY_A, 46, bad[i], error));

        snprintf(expected, sizeof(expected),
                 "seal key file \"%s\" is open to others: \"chmod o-rwx "
                 "FILE\" (Kubernetes: \"defaultMode: 0440\")",
                 path);
        assert_string_equal(error, expected);
    }

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        pinaud_keyring_free(load("a:" KEY_A, 46, good[i], error));
        assert_string_equal(error, "");
    }
}


static void
no_files(void **state)
{
    char  error[PINAUD_SEAL_ERROR], expected[PINAUD_SEAL_ERROR];
    char  name[2048];

    (void) state;

    unlink(path);
    assert_null(pinaud_keyring_load(path, error));
    snprintf(expected, sizeof(expected),
             "seal key file \"%s\": No such file or directory", path);
    assert_string_equal(error, expected);

    assert_null(pinaud_keyring_load(dir, error));
    snprintf(expected, sizeof(expected),
             "seal key file \"%s\" is not a regular file", dir);
    assert_string_equal(error, expected);

    /* nobody writes to it: an open that waits would not return */

    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(pinaud_keyring_load(path, error));
    assert_non_null(strstr(error, "is not a regular file"));

    /* a name of any length leaves room for the reason */

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_null(pinaud_keyring_load(name, error));
    assert_non_null(strstr(error, "File name too long"));

    name[0] = '/';
    name[255] = '\0';
    assert_null(pinaud_keyring_load(name, error));
    assert_non_null(strstr(error, "No such file"));

    pinaud_keyring_free(NULL);
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
        cmocka_unit_test(good_files),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(too_much),
        cmocka_unit_test(modes),
        cmocka_unit_test(no_files),
    };

    return cmocka_run_group_tests_name("seal", tests, setup, teardown);
}
