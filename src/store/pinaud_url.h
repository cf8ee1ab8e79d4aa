
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How to reach the store: the words of "pinaud_redis" and of "--redis",
 *
 *     URL... [mode=sentinel|cluster] [master=NAME]
 */


#ifndef _PINAUD_URL_H_INCLUDED_
#define _PINAUD_URL_H_INCLUDED_


#include <stddef.h>


#pragma GCC visibility push(hidden)


#define PINAUD_URL_ERROR   256     /* room for a reason */
#define PINAUD_REACH_URLS  16


/* redis://[user@]host[:port][/db], rediss://..., unix:/path */

typedef struct {
    char      host[256];           /* or the socket's path; brackets of an
                                      IPv6 address are dropped */
    char      user[128];           /* empty: none */
    unsigned  port;                /* 6379 unless told; 0 of a socket */
    unsigned  db;
    unsigned  port_told:1;
    unsigned  tls:1;
    unsigned  unix_socket:1;
} pinaud_url_t;


/*
 * Reads one URL. Returns 0, or -1 with the reason in "error"
 * (PINAUD_URL_ERROR bytes), which never repeats a password.
 */
int pinaud_url_read(const char *text, size_t len, pinaud_url_t *url,
    char *error);


/*
 * Whether that may be the name or the address of a host. Who tells where Redis
 * is may tell anything, and logs and terminals tell it further.
 */
int pinaud_host_valid(const char *host, size_t len);


#define PINAUD_PASSWORD_MAX   1023
#define PINAUD_PASSWORD_FILE  (PINAUD_PASSWORD_MAX + sizeof("\r\n") - 1)

/*
 * How much of a file's bytes is the password: the end of its line is none of
 * it. 0: this is no password, but empty, too long, or of several lines.
 */
size_t pinaud_password(const char *bytes, size_t len);


typedef enum {
    PINAUD_REACH_STANDALONE = 0,
    PINAUD_REACH_SENTINEL,
    PINAUD_REACH_CLUSTER
} pinaud_reach_e;


/*
 * All words together. The URLs name the one Redis; the sentinels, whose port
 * is 26379 unless told; or some nodes of the cluster. User and database are
 * those of the masters, not of sentinels, and the same in all URLs, as is
 * whether TLS is used.
 */

typedef struct {
    pinaud_url_t    urls[PINAUD_REACH_URLS];
    unsigned        nurls;
    pinaud_reach_e  mode;
    char            master[128];   /* its name, of a sentinel; else empty */
} pinaud_reach_t;


/*
 * Takes the next word; "reach" begins as zeros. When all are taken, the check
 * tells whether they go together. Both return 0, or -1 with the reason in
 * "error" (PINAUD_URL_ERROR bytes), which repeats no part of a word.
 */
int pinaud_reach_word(pinaud_reach_t *reach, const char *word, size_t len,
    char *error);
int pinaud_reach_check(pinaud_reach_t *reach, char *error);

/* The same of words with spaces between them in one text. */
int pinaud_reach_read(const char *text, size_t len, pinaud_reach_t *reach,
    char *error);


#pragma GCC visibility pop


#endif /* _PINAUD_URL_H_INCLUDED_ */
