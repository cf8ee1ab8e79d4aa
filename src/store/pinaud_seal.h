
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Sealing of secrets with AES-256-GCM under a ring of keys.
 *
 * A sealed value is: 1 byte format (1), 1 byte length of the key's id, the
 * id, 12 bytes nonce (random), the ciphertext, 16 bytes tag. The associated
 * data binds it to its record, so that it opens nowhere else.
 */


#ifndef _PINAUD_SEAL_H_INCLUDED_
#define _PINAUD_SEAL_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include "pinaud_keyring.h"


#pragma GCC visibility push(hidden)


#define PINAUD_SEAL_OVERHEAD  (2 + PINAUD_SEAL_ID_MAX + 12 + 16)
#define PINAUD_SEAL_AAD_MAX   256


/*
 * Who may open a value: gateways too ("access"), or only the agent and
 * operators ("refresh", "client-secret", "journal").
 */
typedef enum {
    PINAUD_DOMAIN_GATEWAY = 0,
    PINAUD_DOMAIN_AGENT
} pinaud_domain_e;


/*
 * The associated data of a value: kind, record's name and version. Writes at
 * most PINAUD_SEAL_AAD_MAX bytes and returns how many.
 */
size_t pinaud_seal_aad(unsigned char *to, const char *kind, const char *name,
    size_t name_len, uint64_t version);


/*
 * Seals under the first key. "to" has room for len + PINAUD_SEAL_OVERHEAD
 * bytes. Returns the sealed length, or 0 when libcrypto fails, and for the
 * agent's domain when pinaud_keyring_master() says no.
 */
size_t pinaud_seal(pinaud_keyring_t *ring, pinaud_domain_e domain,
    const unsigned char *aad, size_t aad_len, const unsigned char *secret,
    size_t len, unsigned char *to);


typedef enum {
    PINAUD_OPENED = 0,
    PINAUD_SEAL_MALFORMED,         /* too short, unknown format */
    PINAUD_SEAL_UNKNOWN_KEY,       /* sealed by a key that is not in the ring */
    PINAUD_SEAL_GATEWAY_KEY,       /* the ring has its key for gateways only */
    PINAUD_SEAL_FORGED             /* another record's, or altered */
} pinaud_open_e;

/*
 * Opens a sealed value. "to" has room for sealed_len bytes; the caller wipes
 * it. On failure nothing is left in it.
 */
pinaud_open_e pinaud_open(pinaud_keyring_t *ring, pinaud_domain_e domain,
    const unsigned char *aad, size_t aad_len, const unsigned char *sealed,
    size_t sealed_len, unsigned char *to, size_t *len);


/* The id of the key that sealed a value; 0 where it is malformed. */
size_t pinaud_sealed_by(const unsigned char *sealed, size_t sealed_len,
    const unsigned char **id);


#pragma GCC visibility pop


#endif /* _PINAUD_SEAL_H_INCLUDED_ */
