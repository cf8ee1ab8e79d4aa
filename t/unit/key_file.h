
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A key file in a folder of its own, and rings of its text.
 */


#ifndef _KEY_FILE_H_INCLUDED_
#define _KEY_FILE_H_INCLUDED_


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
#include "pinaud_keyring.h"


#define KEY_A  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B  "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="

/* what A gives its gateways, as another program has it */
#define GATEWAY_A  "aQUGEoTxv2TIYAEAeM7/EKk+Bid3cOGHMIfSDpWl8m0="


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


#endif /* _KEY_FILE_H_INCLUDED_ */
