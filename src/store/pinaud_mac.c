
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include "pinaud_mac.h"
#include "pinaud_ring.h"


static int pinaud_mac_text(pinaud_key_t *key, const void *data, size_t len,
    char *to);


const char *
pinaud_mac_key(pinaud_key_t *key, const unsigned char *secret)
{
    int          rc;
    char         digest[] = "SHA256";
    EVP_MAC     *hmac;
    OSSL_PARAM   params[2];

    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    key->mac = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac);

    if (key->mac == NULL) {
        return "libcrypto has no HMAC";
    }

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                 digest, 0);
    params[1] = OSSL_PARAM_construct_end();

    rc = EVP_MAC_init(key->mac, secret, PINAUD_KEY, params);

    return rc == 1 ? NULL : "libcrypto has no HMAC-SHA256";
}


unsigned char *
pinaud_mac_field(unsigned char *to, const void *field, size_t len)
{
    *to++ = (unsigned char) (len >> 24);
    *to++ = (unsigned char) (len >> 16);
    *to++ = (unsigned char) (len >> 8);
    *to++ = (unsigned char) len;

    if (len != 0) {
        memcpy(to, field, len);
    }

    return to + len;
}


size_t
pinaud_mac(pinaud_keyring_t *ring, const void *data, size_t len, char *to)
{
    pinaud_key_t  *key;

    key = &ring->keys[0];

    memcpy(to, key->id, key->id_len);
    to[key->id_len] = ':';

    if (pinaud_mac_text(key, data, len, to + key->id_len + 1) != 0) {
        return 0;
    }

    return key->id_len + 1 + PINAUD_KEY_TEXT;
}


pinaud_mac_e
pinaud_mac_check(pinaud_keyring_t *ring, const void *data, size_t len,
    const char *mac, size_t mac_len)
{
    char           text[PINAUD_KEY_TEXT + 1];
    size_t         id_len;
    pinaud_key_t  *key;

    id_len = pinaud_mac_by(mac, mac_len);

    if (id_len == 0) {
        return PINAUD_MAC_WRONG;
    }

    key = pinaud_keyring_find(ring, mac, id_len);

    if (key == NULL) {
        return PINAUD_MAC_UNKNOWN_KEY;
    }

    if (pinaud_mac_text(key, data, len, text) != 0
        || CRYPTO_memcmp(text, mac + id_len + 1, PINAUD_KEY_TEXT) != 0)
    {
        return PINAUD_MAC_WRONG;
    }

    return PINAUD_MAC_GOOD;
}


size_t
pinaud_mac_by(const char *mac, size_t mac_len)
{
    if (mac_len < 1 + 1 + PINAUD_KEY_TEXT
        || mac_len > PINAUD_SEAL_ID_MAX + 1 + PINAUD_KEY_TEXT
        || mac[mac_len - PINAUD_KEY_TEXT - 1] != ':')
    {
        return 0;
    }

    return mac_len - PINAUD_KEY_TEXT - 1;
}


/* Writes the MAC in base64, with a zero. */

static int
pinaud_mac_text(pinaud_key_t *key, const void *data, size_t len, char *to)
{
    size_t         n;
    unsigned char  mac[PINAUD_KEY];

    /* without a key the context goes on with the one that it has */

    if (EVP_MAC_init(key->mac, NULL, 0, NULL) != 1
        || EVP_MAC_update(key->mac, data, len) != 1
        || EVP_MAC_final(key->mac, mac, &n, sizeof(mac)) != 1
        || n != sizeof(mac))
    {
        return -1;
    }

    EVP_EncodeBlock((unsigned char *) to, mac, sizeof(mac));

    return 0;
}
