
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Which call a request's path names, byte for byte, so that the account that
 * was checked is the account that Pinterest sees.
 */


#ifndef _PINAUD_PATH_H_INCLUDED_
#define _PINAUD_PATH_H_INCLUDED_


#include <stddef.h>


#pragma GCC visibility push(hidden)


typedef enum {
    PINAUD_PATH_CREATE_CUSTOM = 0, /* /v5/ad_accounts/{id}/audiences/custom */
    PINAUD_PATH_AUDIENCES,         /* /v5/ad_accounts/{id}/audiences: a create
                                      by POST, a list by GET */
    PINAUD_PATH_AUDIENCE,          /* /v5/ad_accounts/{id}/audiences/{digits} */
    PINAUD_PATH_ACCOUNT,           /* anything else canonical below
                                      /v5/ad_accounts/{id}/ */
    PINAUD_PATH_OAUTH,             /* /v5/oauth/... , canonical or not */
    PINAUD_PATH_INVALID,           /* like one of the above, not canonical:
                                      dot segments, encoded characters, doubled
                                      or trailing slashes, an id that is not 1
                                      to 18 digits, bytes outside of VCHAR */
    PINAUD_PATH_UNKNOWN            /* none of these: 404 */
} pinaud_path_e;


typedef struct {
    pinaud_path_e         kind;
    const unsigned char  *account;   /* in the path; NULL where it has none */
    size_t                account_len;
    unsigned              query:1;   /* there is a "?", even with nothing
                                        behind it */
} pinaud_path_t;


/* Reads a raw request target (as in the request line). Takes any bytes. */
void pinaud_path_read(const unsigned char *target, size_t len,
    pinaud_path_t *path);


#pragma GCC visibility pop


#endif /* _PINAUD_PATH_H_INCLUDED_ */
