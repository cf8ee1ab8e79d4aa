
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <limits.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include "pinaud_ring.h"
#include "pinaud_seal.h"


#define PINAUD_SEAL_FORMAT    1
#define PINAUD_SEAL_NONCE     12
#define PINAUD_SEAL_TAG       16
#define PINAUD_SEAL_LEN_MAX   (INT_MAX / 2)


const char *
pinaud_seal_key(pinaud_keyring_t *ring, pinaud_key_t *key,
    pinaud_domain_e domain, const unsigned char *secret)
{
    EVP_CIPHER_CTX  *opener, *sealer;

    opener = EVP_CIPHER_CTX_new();
    key->opener[domain] = opener;

    if (opener == NULL
        || EVP_DecryptInit_ex(opener, EVP_aes_256_gcm(), NULL, secret, NULL)
           != 1)
    {
        return "libcrypto has no AES-256-GCM";
    }

    if (key != &ring->keys[0]) {
        return NULL;
    }

    sealer = EVP_CIPHER_CTX_new();
    ring->sealer[domain] = sealer;

    if (sealer == NULL
        || EVP_EncryptInit_ex(sealer, EVP_aes_256_gcm(), NULL, secret, NULL)
           != 1)
    {
        return "libcrypto has no AES-256-GCM";
    }

    return NULL;
}


size_t
pinaud_seal_aad(unsigned char *to, const char *kind, const char *name,
    size_t name_len, uint64_t version)
{
    size_t          kind_len;
    unsigned char  *p, *digit, digits[20];

    kind_len = strlen(kind);

    if (kind_len > PINAUD_SEAL_AAD_MAX - sizeof(digits) - 2
        || name_len > PINAUD_SEAL_AAD_MAX - sizeof(digits) - 2 - kind_len)
    {
        return 0;
    }

    /* neither a kind nor a number holds a colon, so no two say the same */

    memcpy(to, kind, kind_len);
    p = to + kind_len;
    *p++ = ':';
    memcpy(p, name, name_len);
    p += name_len;
    *p++ = ':';

    digit = digits + sizeof(digits);

    do {
        *--digit = (unsigned char) ('0' + version % 10);
        version /= 10;
    } while (version);

    memcpy(p, digit, (size_t) (digits + sizeof(digits) - digit));
    p += digits + sizeof(digits) - digit;

    return (size_t) (p - to);
}


size_t
pinaud_seal(pinaud_keyring_t *ring, pinaud_domain_e domain,
    const unsigned char *aad, size_t aad_len, const unsigned char *secret,
    size_t len, unsigned char *to)
{
    int              n;
    pinaud_key_t    *key;
    unsigned char   *nonce, *p;
    EVP_CIPHER_CTX  *sealer;

    sealer = ring->sealer[domain];

    if (sealer == NULL || aad_len == 0 || aad_len > PINAUD_SEAL_AAD_MAX
        || len > PINAUD_SEAL_LEN_MAX)
    {
        return 0;
    }

    key = &ring->keys[0];
    p = to;

    *p++ = PINAUD_SEAL_FORMAT;
    *p++ = (unsigned char) key->id_len;
    memcpy(p, key->id, key->id_len);
    p += key->id_len;

    nonce = p;
    p += PINAUD_SEAL_NONCE;

    if (RAND_bytes(nonce, PINAUD_SEAL_NONCE) != 1
        || EVP_EncryptInit_ex(sealer, NULL, NULL, NULL, nonce) != 1
        || EVP_EncryptUpdate(sealer, NULL, &n, aad, (int) aad_len) != 1
        || EVP_EncryptUpdate(sealer, p, &n, secret, (int) len) != 1
        || EVP_EncryptFinal_ex(sealer, p + len, &n) != 1
        || EVP_CIPHER_CTX_ctrl(sealer, EVP_CTRL_AEAD_GET_TAG,
                               PINAUD_SEAL_TAG, p + len)
           != 1)
    {
        return 0;
    }

    return (size_t) (p - to) + len + PINAUD_SEAL_TAG;
}


pinaud_open_e
pinaud_open(pinaud_keyring_t *ring, pinaud_domain_e domain,
    const unsigned char *aad, size_t aad_len, const unsigned char *sealed,
    size_t sealed_len, unsigned char *to, size_t *len)
{
    int                   n;
    size_t                id_len, text_len;
    pinaud_key_t         *key;
    unsigned char         tag[PINAUD_SEAL_TAG];
    EVP_CIPHER_CTX       *opener;
    const unsigned char  *id, *nonce, *text;

    *len = 0;

    id_len = pinaud_sealed_by(sealed, sealed_len, &id);

    if (id_len == 0) {
        return PINAUD_SEAL_MALFORMED;
    }

    key = pinaud_keyring_find(ring, id, id_len);

    if (key == NULL) {
        return PINAUD_SEAL_UNKNOWN_KEY;
    }

    opener = key->opener[domain];

    if (opener == NULL) {
        return PINAUD_SEAL_GATEWAY_KEY;
    }

    if (aad_len == 0 || aad_len > PINAUD_SEAL_AAD_MAX) {
        return PINAUD_SEAL_FORGED;
    }

    nonce = id + id_len;
    text = nonce + PINAUD_SEAL_NONCE;
    text_len = (size_t) (sealed + sealed_len - text) - PINAUD_SEAL_TAG;

    /* the control takes memory that it may write to */
    memcpy(tag, text + text_len, PINAUD_SEAL_TAG);

    if (EVP_DecryptInit_ex(opener, NULL, NULL, NULL, nonce) != 1
        || EVP_DecryptUpdate(opener, NULL, &n, aad, (int) aad_len) != 1
        || EVP_DecryptUpdate(opener, to, &n, text, (int) text_len) != 1
        || EVP_CIPHER_CTX_ctrl(opener, EVP_CTRL_AEAD_SET_TAG,
                               PINAUD_SEAL_TAG, tag)
           != 1
        || EVP_DecryptFinal_ex(opener, to + text_len, &n) != 1)
    {
        OPENSSL_cleanse(to, text_len);
        return PINAUD_SEAL_FORGED;
    }

    *len = text_len;

    return PINAUD_OPENED;
}


size_t
pinaud_sealed_by(const unsigned char *sealed, size_t sealed_len,
    const unsigned char **id)
{
    size_t  id_len;

    if (sealed_len < 2 || sealed_len > PINAUD_SEAL_LEN_MAX
        || sealed[0] != PINAUD_SEAL_FORMAT)
    {
        return 0;
    }

    id_len = sealed[1];

    if (id_len == 0 || id_len > PINAUD_SEAL_ID_MAX
        || sealed_len < 2 + id_len + PINAUD_SEAL_NONCE + PINAUD_SEAL_TAG)
    {
        return 0;
    }

    *id = sealed + 2;

    return id_len;
}
