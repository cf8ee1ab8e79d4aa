
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Team keys: what a team has in place of an access token. A key is "pinaud_",
 * 30 random characters and 6 of checksum, all of base62, so that it has no
 * character that a shell, a URL or a field treats specially. The checksum is
 * the CRC32 of what precedes it: it is no secret, and lets a mistyped key be
 * refused without asking anybody. Redis knows a key by its SHA-256 only.
 */


#ifndef _PINAUD_TEAM_KEY_H_INCLUDED_
#define _PINAUD_TEAM_KEY_H_INCLUDED_


#include <stddef.h>
#include "pinaud_mac.h"


#pragma GCC visibility push(hidden)


#define PINAUD_TEAM_KEY_RANDOM    30   /* characters: 178 bits */
#define PINAUD_TEAM_KEY_CHECKSUM  6
#define PINAUD_TEAM_KEY_LEN       (7 + PINAUD_TEAM_KEY_RANDOM                \
                                   + PINAUD_TEAM_KEY_CHECKSUM)
#define PINAUD_TEAM_KEY_PREFIX    15   /* what people know a key by; 131 bits
                                          of it stay unknown */
#define PINAUD_TEAM_KEY_HASH      32
#define PINAUD_TEAM_KEY_HEX       (2 * PINAUD_TEAM_KEY_HASH)


/*
 * Makes a key, PINAUD_TEAM_KEY_LEN bytes and a zero. -1: there are no random
 * bytes. The caller wipes it.
 */
int pinaud_team_key_make(char *to);

/* Whether these bytes have the form of a key, and its checksum. */
int pinaud_team_key_check(const unsigned char *key, size_t len);

/* Whether this is what a key is known by, or the beginning of that. */
int pinaud_team_key_is_prefix(const char *text, size_t len);

/* What hashes keys, made once: that costs more than a hash. NULL: failed. */
typedef struct pinaud_hasher_s  pinaud_hasher_t;

pinaud_hasher_t *pinaud_hasher_create(void);
void pinaud_hasher_free(pinaud_hasher_t *hasher);  /* NULL: nothing */

/* The SHA-256 of a key. -1: libcrypto failed. */
int pinaud_team_key_hash(pinaud_hasher_t *hasher, const unsigned char *key,
    size_t len, unsigned char *hash);

/* A hash in hex, PINAUD_TEAM_KEY_HEX digits and a zero, and its check. */
void pinaud_team_key_hex(const unsigned char *hash, char *to);
int pinaud_team_key_is_hex(const unsigned char *text, size_t len);

/*
 * The MAC of a key's record is over the hash in hex and the team, so that a
 * record can't be given to another key or another team. As pinaud_mac() and
 * pinaud_mac_check().
 */
size_t pinaud_team_key_mac(pinaud_keyring_t *ring, const char *hex,
    const char *team, size_t team_len, char *to);
pinaud_mac_e pinaud_team_key_mac_check(pinaud_keyring_t *ring,
    const char *hex, const char *team, size_t team_len, const char *mac,
    size_t mac_len);


#pragma GCC visibility pop


#endif /* _PINAUD_TEAM_KEY_H_INCLUDED_ */
