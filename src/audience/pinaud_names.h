
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The texts that were met: names of members, each within its object, or the
 * ids of an array. Compared after decoding, found by a keyed hash (SipHash),
 * so that nobody can choose names that are slow to tell apart.
 */


#ifndef _PINAUD_NAMES_H_INCLUDED_
#define _PINAUD_NAMES_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


typedef enum {
    PINAUD_TEXT_STRING = 0,        /* ends at the closing quote */
    PINAUD_TEXT_DIGITS             /* ends where no digit is, as an id in
                                      quotes or bare */
} pinaud_text_e;


typedef struct {
    uint32_t              text;    /* offset in the body; 0: a free slot */
    uint32_t              object;  /* offset of the object's brace */
} pinaud_name_t;


typedef struct {
    const unsigned char  *body;
    const uint64_t       *key;
    pinaud_name_t        *slots;
    size_t                size;
    pinaud_text_e         kind;
} pinaud_names_t;


/*
 * How much memory is needed for so many distinct texts. Nothing checks that
 * there are no more.
 */
size_t pinaud_names_memory(size_t count);

/* The memory is the caller's, aligned for uint32_t; the key has two words. */
void pinaud_names_init(pinaud_names_t *names, pinaud_text_e kind,
    const unsigned char *body, const uint64_t *key, void *memory,
    size_t count);

/* Adds a text; returns 1 where it was there. Offsets are those in the body. */
int pinaud_names_add(pinaud_names_t *names, size_t object, size_t text);

/* Whether two texts are equal after decoding. */
int pinaud_text_equal(pinaud_text_e kind, const unsigned char *a,
    const unsigned char *b);


#pragma GCC visibility pop


#endif /* _PINAUD_NAMES_H_INCLUDED_ */
