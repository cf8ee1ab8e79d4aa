
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Message authentication (HMAC-SHA256) of records that are no secret and that
 * nobody without a key may make. A MAC is the text "id:base64".
 */


#ifndef _PINAUD_MAC_H_INCLUDED_
#define _PINAUD_MAC_H_INCLUDED_


#include <stddef.h>
#include "pinaud_keyring.h"


#pragma GCC visibility push(hidden)


#define PINAUD_MAC_MAX    (PINAUD_SEAL_ID_MAX + 1 + 44 + 1)  /* with a zero */
#define PINAUD_MAC_FRAME  4        /* bytes before each field */


/*
 * Frames a field of what is authenticated, behind its length, so that no two
 * lists of fields give the same bytes. Writes len + PINAUD_MAC_FRAME bytes to
 * "to" and returns their end. The first field names what it is, "account".
 */
unsigned char *pinaud_mac_field(unsigned char *to, const void *field,
    size_t len);


/*
 * The MAC of the data by the first key, with its zero, in "to" of
 * PINAUD_MAC_MAX bytes. Returns its length, or 0 when libcrypto fails.
 */
size_t pinaud_mac(pinaud_keyring_t *ring, const void *data, size_t len,
    char *to);


typedef enum {
    PINAUD_MAC_GOOD = 0,
    PINAUD_MAC_WRONG = -1,         /* another's data, altered, or no MAC */
    PINAUD_MAC_UNKNOWN_KEY = -2    /* by a key that is not in the ring */
} pinaud_mac_e;

/* Compares in constant time. Any key of the ring will do. */
pinaud_mac_e pinaud_mac_check(pinaud_keyring_t *ring, const void *data,
    size_t len, const char *mac, size_t mac_len);


/* The length of the id that a MAC begins with; 0 where it is malformed. */
size_t pinaud_mac_by(const char *mac, size_t mac_len);


#pragma GCC visibility pop


#endif /* _PINAUD_MAC_H_INCLUDED_ */
