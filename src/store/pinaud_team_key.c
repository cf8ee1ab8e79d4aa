
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "pinaud_keys.h"
#include "pinaud_team_key.h"


#define PINAUD_TEAM_KEY_MARK      "pinaud_"
#define PINAUD_TEAM_KEY_MARK_LEN  (sizeof(PINAUD_TEAM_KEY_MARK) - 1)
#define PINAUD_TEAM_KEY_SUMMED    (PINAUD_TEAM_KEY_MARK_LEN                  \
                                   + PINAUD_TEAM_KEY_RANDOM)
#define PINAUD_TEAM_KEY_DATA      (3 * PINAUD_MAC_FRAME + 8                  \
                                   + PINAUD_TEAM_KEY_HEX + PINAUD_NAME_MAX)


struct pinaud_hasher_s {
    EVP_MD      *sha256;
    EVP_MD_CTX  *ctx;
};


static size_t pinaud_team_key_data(unsigned char *to, const char *hex,
    const char *team, size_t team_len);
static int pinaud_base62_random(char *to, size_t n);
static int pinaud_is_base62(const unsigned char *text, size_t len);
static void pinaud_team_key_checksum(const unsigned char *key, char *to);
static uint32_t pinaud_crc32(const unsigned char *data, size_t len);


static const char  pinaud_base62[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";


int
pinaud_team_key_make(char *to)
{
    char  *p;

    memcpy(to, PINAUD_TEAM_KEY_MARK, PINAUD_TEAM_KEY_MARK_LEN);
    p = to + PINAUD_TEAM_KEY_MARK_LEN;

    if (pinaud_base62_random(p, PINAUD_TEAM_KEY_RANDOM) != 0) {
        return -1;
    }

    pinaud_team_key_checksum((unsigned char *) to,
                             to + PINAUD_TEAM_KEY_SUMMED);
    to[PINAUD_TEAM_KEY_LEN] = '\0';

    return 0;
}


int
pinaud_team_key_check(const unsigned char *key, size_t len)
{
    char  checksum[PINAUD_TEAM_KEY_CHECKSUM];

    if (len != PINAUD_TEAM_KEY_LEN
        || memcmp(key, PINAUD_TEAM_KEY_MARK, PINAUD_TEAM_KEY_MARK_LEN) != 0
        || !pinaud_is_base62(key + PINAUD_TEAM_KEY_MARK_LEN,
                             PINAUD_TEAM_KEY_RANDOM))
    {
        return 0;
    }

    pinaud_team_key_checksum(key, checksum);

    return CRYPTO_memcmp(key + PINAUD_TEAM_KEY_SUMMED, checksum,
                         sizeof(checksum))
           == 0;
}


int
pinaud_team_key_is_prefix(const char *text, size_t len)
{
    return len > PINAUD_TEAM_KEY_MARK_LEN && len <= PINAUD_TEAM_KEY_PREFIX
           && memcmp(text, PINAUD_TEAM_KEY_MARK, PINAUD_TEAM_KEY_MARK_LEN)
              == 0
           && pinaud_is_base62((const unsigned char *) text
                               + PINAUD_TEAM_KEY_MARK_LEN,
                               len - PINAUD_TEAM_KEY_MARK_LEN);
}


pinaud_hasher_t *
pinaud_hasher_create(void)
{
    pinaud_hasher_t  *hasher;

    hasher = calloc(1, sizeof(pinaud_hasher_t));
    if (hasher == NULL) {
        return NULL;
    }

    hasher->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    hasher->ctx = EVP_MD_CTX_new();

    if (hasher->sha256 == NULL || hasher->ctx == NULL) {
        pinaud_hasher_free(hasher);
        return NULL;
    }

    return hasher;
}


void
pinaud_hasher_free(pinaud_hasher_t *hasher)
{
    if (hasher == NULL) {
        return;
    }

    EVP_MD_CTX_free(hasher->ctx);
    EVP_MD_free(hasher->sha256);
    free(hasher);
}


/* The last step leaves nothing of the key in the context. */

int
pinaud_team_key_hash(pinaud_hasher_t *hasher, const unsigned char *key,
    size_t len, unsigned char *hash)
{
    if (EVP_DigestInit_ex2(hasher->ctx, hasher->sha256, NULL) != 1
        || EVP_DigestUpdate(hasher->ctx, key, len) != 1
        || EVP_DigestFinal_ex(hasher->ctx, hash, NULL) != 1)
    {
        return -1;
    }

    return 0;
}


void
pinaud_team_key_hex(const unsigned char *hash, char *to)
{
    size_t  i;

    static const char  digits[] = "0123456789abcdef";

    for (i = 0; i < PINAUD_TEAM_KEY_HASH; i++) {
        *to++ = digits[hash[i] >> 4];
        *to++ = digits[hash[i] & 0xf];
    }

    *to = '\0';
}


int
pinaud_team_key_is_hex(const unsigned char *text, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if ((text[i] < '0' || text[i] > '9')
            && (text[i] < 'a' || text[i] > 'f'))
        {
            return 0;
        }
    }

    return len == PINAUD_TEAM_KEY_HEX;
}


size_t
pinaud_team_key_mac(pinaud_keyring_t *ring, const char *hex, const char *team,
    size_t team_len, char *to)
{
    unsigned char  data[PINAUD_TEAM_KEY_DATA];

    return pinaud_mac(ring, data,
                      pinaud_team_key_data(data, hex, team, team_len), to);
}


pinaud_mac_e
pinaud_team_key_mac_check(pinaud_keyring_t *ring, const char *hex,
    const char *team, size_t team_len, const char *mac, size_t mac_len)
{
    unsigned char  data[PINAUD_TEAM_KEY_DATA];

    return pinaud_mac_check(ring, data,
                            pinaud_team_key_data(data, hex, team, team_len),
                            mac, mac_len);
}


/* What the MAC is over; the team's name was checked. */

static size_t
pinaud_team_key_data(unsigned char *to, const char *hex, const char *team,
    size_t team_len)
{
    unsigned char  *p;

    p = pinaud_mac_field(to, "team-key", 8);
    p = pinaud_mac_field(p, hex, PINAUD_TEAM_KEY_HEX);
    p = pinaud_mac_field(p, team, team_len);

    return (size_t) (p - to);
}


/* Bytes that would make some characters likelier than others are left out. */

static int
pinaud_base62_random(char *to, size_t n)
{
    int            rc;
    size_t         i;
    unsigned char  random[64];

    rc = 0;

    while (n) {

        if (RAND_priv_bytes(random, sizeof(random)) != 1) {
            rc = -1;
            break;
        }

        for (i = 0; n && i < sizeof(random); i++) {
            if (random[i] < 256 / 62 * 62) {
                *to++ = pinaud_base62[random[i] % 62];
                n--;
            }
        }
    }

    OPENSSL_cleanse(random, sizeof(random));

    return rc;
}


static int
pinaud_is_base62(const unsigned char *text, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if ((text[i] < '0' || text[i] > '9')
            && (text[i] < 'A' || text[i] > 'Z')
            && (text[i] < 'a' || text[i] > 'z'))
        {
            return 0;
        }
    }

    return 1;
}


static void
pinaud_team_key_checksum(const unsigned char *key, char *to)
{
    char      *p;
    uint32_t   crc;

    crc = pinaud_crc32(key, PINAUD_TEAM_KEY_SUMMED);

    for (p = to + PINAUD_TEAM_KEY_CHECKSUM; p > to; crc /= 62) {
        *--p = pinaud_base62[crc % 62];
    }
}


/* The CRC32 of zlib and Ethernet, half a byte at a time. */

static uint32_t
pinaud_crc32(const unsigned char *data, size_t len)
{
    size_t    i;
    uint32_t  crc;

    static const uint32_t  halves[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
        0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c
    };

    crc = 0xffffffff;

    for (i = 0; i < len; i++) {
        crc ^= data[i];
        crc = (crc >> 4) ^ halves[crc & 0xf];
        crc = (crc >> 4) ^ halves[crc & 0xf];
    }

    return ~crc;
}
