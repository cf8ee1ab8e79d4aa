
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The keys of a seal key file. Two kinds of line:
 *
 *     id:base64            a master key, for the agent and operators
 *     id:gateway:base64    what a master gives its gateways
 *
 * By HKDF-SHA256 (RFC 5869, without salt) a master gives the key of each
 * domain, with the info "pinaud gateway" or "pinaud agent". The gateway's key
 * gives the one that seals what gateways may open ("pinaud seal") and the one
 * of all MACs ("pinaud mac"). So nothing in a gateway's file opens what is of
 * the agent's domain.
 */


#ifndef _PINAUD_KEYRING_H_INCLUDED_
#define _PINAUD_KEYRING_H_INCLUDED_


#include <stddef.h>


#pragma GCC visibility push(hidden)


#define PINAUD_SEAL_ID_MAX    32
#define PINAUD_SEAL_KEYS      32   /* in a ring */
#define PINAUD_SEAL_ERROR     256  /* room for a reason */

/* A line of a gateway's file, with its newline. */
#define PINAUD_GATEWAY_LINE   (PINAUD_SEAL_ID_MAX + sizeof(":gateway:") + 44)


typedef struct pinaud_keyring_s  pinaud_keyring_t;


/*
 * Reads a key file; blank lines and lines that begin with # are skipped. The
 * first key seals, all open. Returns NULL with the reason in "error"
 * (PINAUD_SEAL_ERROR bytes): no file, readable by others (with the cure), no
 * key, a malformed line (its number, never its text), a repeated id. The
 * caller frees the ring, which wipes it.
 */
pinaud_keyring_t *pinaud_keyring_load(const char *path, char *error);
void pinaud_keyring_free(pinaud_keyring_t *ring);


/*
 * Whether the first key is a master: else the ring can't seal what is of the
 * agent's domain, and is a gateway's.
 */
int pinaud_keyring_master(const pinaud_keyring_t *ring);


/* The id of a key, of 0 the first one's; NULL: there are no more. */
const char *pinaud_keyring_id(const pinaud_keyring_t *ring, unsigned i,
    size_t *len);


/*
 * Writes the gateway's line of each key of a file to "to", which has room for
 * PINAUD_SEAL_KEYS * PINAUD_GATEWAY_LINE bytes, and which the caller wipes.
 * Returns their length; 0 with the reason in "error".
 */
size_t pinaud_keyring_gateway(const char *path, char *to, char *error);


#pragma GCC visibility pop


#endif /* _PINAUD_KEYRING_H_INCLUDED_ */
