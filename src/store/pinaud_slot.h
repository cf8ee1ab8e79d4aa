
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Redis Cluster: in which slot a key is, and who is told to have one.
 */


#ifndef _PINAUD_SLOT_H_INCLUDED_
#define _PINAUD_SLOT_H_INCLUDED_


#include <stddef.h>


#pragma GCC visibility push(hidden)


#define PINAUD_SLOTS  16384


/* The slot of a key: of its hash tag, "{...}", if it has one. */
unsigned pinaud_slot(const char *key, size_t len);


/* "MOVED 3999 10.0.0.7:6379" or "ASK ...", without the "-" before it */

typedef struct {
    char      host[256];           /* empty: of the node that answered */
    unsigned  port;
    unsigned  slot;
    unsigned  ask:1;               /* for this one command only */
} pinaud_redirect_t;


/* Reads an error's text. Returns 0, or -1 where it tells no other node. */
int pinaud_redirect_read(const char *text, size_t len,
    pinaud_redirect_t *redirect);


#pragma GCC visibility pop


#endif /* _PINAUD_SLOT_H_INCLUDED_ */
