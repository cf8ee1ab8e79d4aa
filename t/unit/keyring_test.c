
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a key file may hold.
 */


#include "key_file.h"


static void
good_files(void **state)
{
    (void) state;

    pinaud_keyring_free(ring_of("a:" KEY_A));
    pinaud_keyring_free(ring_of("a:" KEY_A "\r\n"));
    pinaud_keyring_free(ring_of("\n# old\n\n  b-1._X:" KEY_B "  \na:" KEY_A));
    pinaud_keyring_free(ring_of("12345678901234567890123456789012:" KEY_A));
    pinaud_keyring_free(ring_of("gateway:" KEY_A "\na:gateway:" KEY_A));
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
        { "a:gateway:" KEY_A "\na:" KEY_B,
          ", line 2: the key's id stands in a line above already" },
        { "a:", ", line 1: the key is not 32 bytes in base64" },
        { "a:gateway:", ", line 1: the key is not 32 bytes in base64" },
        { "a:gateway:AAEC", ", line 1: the key is not 32 bytes in base64" },
        { "a:agent:" KEY_A, ", line 1: the key is not 32 bytes in base64" },
        { "a:Gateway:" KEY_A, ", line 1: the key is not 32 bytes in base64" },
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


/* Each key's line for gateways, which is one for gateways again. */

static void
gateway_lines(void **state)
{
    char    again[PINAUD_SEAL_KEYS * PINAUD_GATEWAY_LINE];
    char    error[PINAUD_SEAL_ERROR];
    char    lines[PINAUD_SEAL_KEYS * PINAUD_GATEWAY_LINE];
    size_t  len;

    (void) state;

    pinaud_keyring_free(ring_of("# new\nb:" KEY_B "\n\na:" KEY_A "\n"));

    len = pinaud_keyring_gateway(path, lines, error);

    assert_int_equal(len, 2 * (sizeof("x:gateway:" KEY_A "\n") - 1));
    assert_memory_equal(lines, "b:gateway:", 10);
    assert_memory_equal(lines + len / 2, "a:gateway:" GATEWAY_A "\n", len / 2);

    pinaud_keyring_free(load(lines, len, 0600, error));
    assert_string_equal(error, "");

    assert_int_equal(pinaud_keyring_gateway(path, again, error), len);
    assert_memory_equal(again, lines, len);

    /* nothing is left of the lines before one that is refused */

    memset(again, 0, len);
    assert_null(load("a:" KEY_A "\nb\n", 50, 0600, error));
    assert_int_equal(pinaud_keyring_gateway(path, again, error), 0);
    assert_non_null(strstr(error, ", line 2: is not \"id:base64\""));
    assert_int_equal(again[0], 0);
    assert_memory_equal(again, again + 1, len - 1);
}


/* As many as there can be, with ids as long as they can be. */

static void
most_lines(void **state)
{
    int     i;
    char    error[PINAUD_SEAL_ERROR];
    char    lines[PINAUD_SEAL_KEYS * PINAUD_GATEWAY_LINE], text[8192], *p;
    size_t  len;

    (void) state;

    for (p = text, i = 1; i <= PINAUD_SEAL_KEYS; i++) {
        p += sprintf(p, "%032d:%s\n", i, KEY_A);
    }

    pinaud_keyring_free(ring_of(text));

    len = pinaud_keyring_gateway(path, lines, error);
    assert_int_equal(len, sizeof(lines));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(good_files),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(too_much),
        cmocka_unit_test(modes),
        cmocka_unit_test(no_files),
        cmocka_unit_test(gateway_lines),
        cmocka_unit_test(most_lines),
    };

    return cmocka_run_group_tests_name("seal", tests, setup, teardown);
}
