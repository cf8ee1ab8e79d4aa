
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Inside of a ring of keys: for pinaud_keyfile.c, pinaud_keyring.c,
 * pinaud_seal.c and pinaud_mac.c only.
 */


#ifndef _PINAUD_RING_H_INCLUDED_
#define _PINAUD_RING_H_INCLUDED_


#include <stddef.h>
#include <openssl/evp.h>
#include "pinaud_keyring.h"
#include "pinaud_seal.h"


#pragma GCC visibility push(hidden)


#define PINAUD_KEY       32        /* bytes of a key */
#define PINAUD_KEY_TEXT  44        /* characters of its base64 */
#define PINAUD_DOMAINS   2


/*
 * Keys are only in contexts, with their schedules made: an opening sets the
 * nonce and no more.
 */

typedef struct {
    EVP_CIPHER_CTX   *opener[PINAUD_DOMAINS];   /* NULL: not of this domain */
    EVP_MAC_CTX      *mac;
    size_t            id_len;
    char              id[PINAUD_SEAL_ID_MAX];
} pinaud_key_t;


struct pinaud_keyring_s {
    EVP_CIPHER_CTX   *sealer[PINAUD_DOMAINS];   /* of the first key */
    pinaud_key_t      keys[PINAUD_SEAL_KEYS];
    unsigned          count;
};


/* What a line of a key file says; the key is wiped by who gave it. */

typedef struct {
    const char           *id;
    size_t                id_len;
    unsigned              gateway:1;   /* "id:gateway:base64" */
    const unsigned char  *key;
} pinaud_key_line_t;


/*
 * Reads a key file and gives each line to "add", which returns NULL or what is
 * wrong with it. Returns 0, or -1 with the reason in "error".
 */
int pinaud_keyfile_read(const char *path,
    const char *(*add)(void *data, const pinaud_key_line_t *line), void *data,
    char *error);


pinaud_key_t *pinaud_keyring_find(pinaud_keyring_t *ring, const void *id,
    size_t len);


/* Give a key the contexts that it works by. Return what went wrong, or NULL. */
const char *pinaud_seal_key(pinaud_keyring_t *ring, pinaud_key_t *key,
    pinaud_domain_e domain, const unsigned char *secret);
const char *pinaud_mac_key(pinaud_key_t *key, const unsigned char *secret);


#pragma GCC visibility pop


#endif /* _PINAUD_RING_H_INCLUDED_ */
