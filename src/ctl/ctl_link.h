
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * One connection to one server: the socket and TLS are ours, hiredis is the
 * codec. What fails is told by "error", and nothing on stderr.
 */


#ifndef _CTL_LINK_H_INCLUDED_
#define _CTL_LINK_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <hiredis/hiredis.h>
#include <openssl/ssl.h>
#include "pinaud_url.h"


#define CTL_LINK_CONNECT  2000         /* ms to connect, all addresses */
#define CTL_LINK_SILENCE  5000         /* ms without a byte */
#define CTL_LINK_REPLY    30000        /* ms of one reply, or of all writing */

#define CTL_LINK_NAME     300
#define CTL_LINK_ERROR    256


/* What TLS takes; made once, used by all links. */

typedef struct {
    SSL_CTX                    *ctx;
    char                        name[256];   /* empty: the URL's host */
} ctl_tls_t;


typedef struct {
    pinaud_url_t                url;
    const ctl_tls_t            *tls;   /* NULL: in the clear */
    char                        name[CTL_LINK_NAME];     /* for messages */
    char                        error[CTL_LINK_ERROR];

    int                         fd;
    SSL                        *ssl;
    unsigned                    asked:1;     /* for a certificate we lack */
    unsigned                    heard:1;     /* something came by TLS */

    char                       *out;   /* what is to be written */
    size_t                      out_len;
    size_t                      out_size;

    redisReader                *reader;
    redisReplyObjectFunctions   functions;   /* the reader's, but for arrays */
    size_t                      partial;     /* bytes of a reply so far */
} ctl_link_t;


/* ctl_link.c */

/* Connects. Returns 0, or -1; the link is to be closed in both cases. */
int ctl_link_open(ctl_link_t *link, const pinaud_url_t *url,
    const ctl_tls_t *tls);
void ctl_link_close(ctl_link_t *link);

/* Keeps a command until the next receive. Returns 0 or -1. */
int ctl_link_send(ctl_link_t *link, int argc, const char **argv,
    const size_t *lens);

/* The next reply, in the order of the commands, or NULL. */
redisReply *ctl_link_receive(ctl_link_t *link);

/* Tells what failed, and returns -1. */
int ctl_link_fail(ctl_link_t *link, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


/* ctl_socket.c: all of it ends in time */

/* To link->url. -1: failed, and the link knows why. */
int ctl_socket_connect(ctl_link_t *link);
void ctl_socket_close(ctl_link_t *link);

/* Writes all. */
int ctl_socket_write(ctl_link_t *link, const char *bytes, size_t len);

/* Reads some, at least one byte, before that time. */
ssize_t ctl_socket_read(ctl_link_t *link, char *bytes, size_t size,
    int64_t deadline);

/* Waits for an event before that time, and for CTL_LINK_SILENCE at most. */
int ctl_socket_wait(ctl_link_t *link, short events, int64_t deadline);

/* Milliseconds of the monotonic clock. */
int64_t ctl_clock(void);


/* ctl_tls.c */

/*
 * Reads what the options name. Returns 0, or -1 with the reason in "error"
 * (CTL_LINK_ERROR bytes). Files may be NULL: the system's CAs, no
 * certificate; name too: the URL's host.
 */
int ctl_tls_create(ctl_tls_t *tls, const char *ca, const char *cert,
    const char *key, const char *name, char *error);
void ctl_tls_free(ctl_tls_t *tls);

/* The handshake, with the server verified. -1 as above. */
int ctl_tls_connect(ctl_link_t *link);

/*
 * One try each. Returns bytes; 0 where it would block, with the events to
 * wait for; -1.
 */
ssize_t ctl_tls_write(ctl_link_t *link, const char *bytes, size_t len,
    short *events);
ssize_t ctl_tls_read(ctl_link_t *link, char *bytes, size_t size,
    short *events);


#endif /* _CTL_LINK_H_INCLUDED_ */
