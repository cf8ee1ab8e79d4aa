
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How to reach the store: the words of "pinaud_redis" and of "--redis".
 */


#ifndef _PINAUD_URL_H_INCLUDED_
#define _PINAUD_URL_H_INCLUDED_


#include <stddef.h>


#pragma GCC visibility push(hidden)


#define PINAUD_URL_ERROR  256      /* room for a reason */


/* redis://[user@]host[:port][/db], rediss://..., unix:/path */

typedef struct {
    char      host[256];           /* or the socket's path; brackets of an
                                      IPv6 address are dropped */
    char      user[128];           /* empty: none */
    unsigned  port;                /* 6379 unless told; 0 of a socket */
    unsigned  db;
    unsigned  tls:1;
    unsigned  unix_socket:1;
} pinaud_url_t;


/*
 * Reads one URL. Returns 0, or -1 with the reason in "error"
 * (PINAUD_URL_ERROR bytes), which never repeats a password.
 */
int pinaud_url_read(const char *text, size_t len, pinaud_url_t *url,
    char *error);


#pragma GCC visibility pop


#endif /* _PINAUD_URL_H_INCLUDED_ */
