
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include "pinaud_ring.h"


#define PINAUD_NO_HKDF  "libcrypto has no HKDF-SHA256"


static const char *pinaud_keyring_add(void *data,
    const pinaud_key_line_t *line);
static const char *pinaud_keyring_print(void *data,
    const pinaud_key_line_t *line);
static const char *pinaud_key_contexts(pinaud_keyring_t *ring,
    pinaud_key_t *key, const pinaud_key_line_t *line);
static const char *pinaud_key_gateway(const pinaud_key_line_t *line,
    unsigned char *key);
static int pinaud_key_derive(const unsigned char *from, const char *info,
    unsigned char *key);


pinaud_keyring_t *
pinaud_keyring_load(const char *path, char *error)
{
    pinaud_keyring_t  *ring;

    ring = calloc(1, sizeof(pinaud_keyring_t));

    if (ring == NULL) {
        snprintf(error, PINAUD_SEAL_ERROR, "out of memory");
        return NULL;
    }

    if (pinaud_keyfile_read(path, pinaud_keyring_add, ring, error) != 0) {
        pinaud_keyring_free(ring);
        return NULL;
    }

    return ring;
}


void
pinaud_keyring_free(pinaud_keyring_t *ring)
{
    unsigned  i, domain;

    if (ring == NULL) {
        return;
    }

    /* libcrypto wipes a context when it frees it */

    for (domain = 0; domain < PINAUD_DOMAINS; domain++) {

        for (i = 0; i < ring->count; i++) {
            EVP_CIPHER_CTX_free(ring->keys[i].opener[domain]);
        }

        EVP_CIPHER_CTX_free(ring->sealer[domain]);
    }

    for (i = 0; i < ring->count; i++) {
        EVP_MAC_CTX_free(ring->keys[i].mac);
    }

    free(ring);
}


int
pinaud_keyring_master(const pinaud_keyring_t *ring)
{
    return ring->sealer[PINAUD_DOMAIN_AGENT] != NULL;
}


const char *
pinaud_keyring_id(const pinaud_keyring_t *ring, unsigned i, size_t *len)
{
    if (i >= ring->count) {
        return NULL;
    }

    *len = ring->keys[i].id_len;

    return ring->keys[i].id;
}


size_t
pinaud_keyring_gateway(const char *path, char *to, char *error)
{
    char  *end;

    end = to;

    if (pinaud_keyfile_read(path, pinaud_keyring_print, &end, error) != 0) {
        OPENSSL_cleanse(to, (size_t) (end - to));
        return 0;
    }

    return (size_t) (end - to);
}


pinaud_key_t *
pinaud_keyring_find(pinaud_keyring_t *ring, const void *id, size_t len)
{
    unsigned       i;
    pinaud_key_t  *key;

    for (i = 0; i < ring->count; i++) {
        key = &ring->keys[i];

        if (key->id_len == len && memcmp(key->id, id, len) == 0) {
            return key;
        }
    }

    return NULL;
}


static const char *
pinaud_keyring_add(void *data, const pinaud_key_line_t *line)
{
    pinaud_keyring_t *ring = data;

    pinaud_key_t  *key;

    /* counted at once, for the ring to free it */

    key = &ring->keys[ring->count++];

    memcpy(key->id, line->id, line->id_len);
    key->id_len = line->id_len;

    return pinaud_key_contexts(ring, key, line);
}


static const char *
pinaud_keyring_print(void *data, const pinaud_key_line_t *line)
{
    char **end = data;

    char           *p;
    const char     *reason;
    unsigned char   key[PINAUD_KEY], text[PINAUD_KEY_TEXT + 1];

    reason = pinaud_key_gateway(line, key);

    if (reason == NULL) {
        EVP_EncodeBlock(text, key, PINAUD_KEY);

        p = *end;
        memcpy(p, line->id, line->id_len);
        p += line->id_len;
        memcpy(p, ":gateway:", sizeof(":gateway:") - 1);
        p += sizeof(":gateway:") - 1;
        memcpy(p, text, PINAUD_KEY_TEXT);
        p += PINAUD_KEY_TEXT;
        *p++ = '\n';
        *end = p;
    }

    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(text, sizeof(text));

    return reason;
}


static const char *
pinaud_key_contexts(pinaud_keyring_t *ring, pinaud_key_t *key,
    const pinaud_key_line_t *line)
{
    const char     *reason;
    unsigned char   gateway[PINAUD_KEY], derived[PINAUD_KEY];

    reason = pinaud_key_gateway(line, gateway);

    if (reason == NULL) {
        reason = pinaud_key_derive(gateway, "pinaud seal", derived) == 0
                 ? pinaud_seal_key(ring, key, PINAUD_DOMAIN_GATEWAY, derived)
                 : PINAUD_NO_HKDF;
    }

    if (reason == NULL) {
        reason = pinaud_key_derive(gateway, "pinaud mac", derived) == 0
                 ? pinaud_mac_key(key, derived) : PINAUD_NO_HKDF;
    }

    if (reason == NULL && !line->gateway) {
        reason = pinaud_key_derive(line->key, "pinaud agent", derived) == 0
                 ? pinaud_seal_key(ring, key, PINAUD_DOMAIN_AGENT, derived)
                 : PINAUD_NO_HKDF;
    }

    OPENSSL_cleanse(gateway, sizeof(gateway));
    OPENSSL_cleanse(derived, sizeof(derived));

    return reason;
}


/* The key of the gateway's domain, of a line of either kind. */

static const char *
pinaud_key_gateway(const pinaud_key_line_t *line, unsigned char *key)
{
    if (line->gateway) {
        memcpy(key, line->key, PINAUD_KEY);
        return NULL;
    }

    return pinaud_key_derive(line->key, "pinaud gateway", key) == 0
           ? NULL : PINAUD_NO_HKDF;
}


static int
pinaud_key_derive(const unsigned char *from, const char *info,
    unsigned char *key)
{
    int           rc;
    char          digest[] = "SHA256";
    EVP_KDF      *hkdf;
    OSSL_PARAM    params[4];
    EVP_KDF_CTX  *ctx;

    hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    ctx = EVP_KDF_CTX_new(hkdf);
    EVP_KDF_free(hkdf);

    if (ctx == NULL) {
        return -1;
    }

    /* libcrypto only reads them */

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                                 digest, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
                                                  (void *) (uintptr_t) from,
                                                  PINAUD_KEY);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
                                                  (void *) (uintptr_t) info,
                                                  strlen(info));
    params[3] = OSSL_PARAM_construct_end();

    rc = EVP_KDF_derive(ctx, key, PINAUD_KEY, params);

    EVP_KDF_CTX_free(ctx);

    return rc == 1 ? 0 : -1;
}
