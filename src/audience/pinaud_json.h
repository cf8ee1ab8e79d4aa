
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A strict pull reader of JSON (RFC 8259) over a span of bytes. It never
 * copies and never allocates: tokens are spans of the text that it reads.
 */


#ifndef _PINAUD_JSON_H_INCLUDED_
#define _PINAUD_JSON_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


#define PINAUD_JSON_MAX_DEPTH  32


typedef enum {
    PINAUD_JSON_ERROR = 0,         /* see "failure"; comes again and again */
    PINAUD_JSON_END,               /* the text ended where it should */
    PINAUD_JSON_OBJECT,
    PINAUD_JSON_OBJECT_END,
    PINAUD_JSON_ARRAY,
    PINAUD_JSON_ARRAY_END,
    PINAUD_JSON_NAME,              /* of a member, with its colon */
    PINAUD_JSON_STRING,
    PINAUD_JSON_INTEGER,           /* neither fraction nor exponent; of any
                                      length */
    PINAUD_JSON_REAL,              /* a double can hold it */
    PINAUD_JSON_TRUE,
    PINAUD_JSON_FALSE,
    PINAUD_JSON_NULL
} pinaud_json_token_e;


typedef enum {
    PINAUD_JSON_SYNTAX = 0,
    PINAUD_JSON_ENCODING,
    PINAUD_JSON_DEPTH
} pinaud_json_failure_e;


typedef enum {
    PINAUD_JSON_WANT_VALUE = 0,
    PINAUD_JSON_WANT_FIRST_NAME,
    PINAUD_JSON_WANT_FIRST_ITEM,
    PINAUD_JSON_WANT_MORE,
    PINAUD_JSON_WANT_NOTHING,
    PINAUD_JSON_FAILED
} pinaud_json_state_e;


typedef struct {
    const unsigned char    *start;
    const unsigned char    *pos;       /* behind the token (and a name's
                                          colon) */
    const unsigned char    *end;

    const unsigned char    *token;     /* of strings and names: between the
                                          quotes */
    size_t                  len;
    unsigned                escaped:1; /* it has a backslash; of strings, names
                                          and numbers */

    unsigned                depth;     /* of open objects and arrays */
    uint64_t                objects;   /* bit n: level n is an object */
    pinaud_json_state_e     state;

    pinaud_json_failure_e   failure;
    size_t                  offset;    /* of the failure, in bytes */
    const char             *detail;    /* static text */
} pinaud_json_t;


/* The text is not copied: it has to stay for as long as it is read. */
void pinaud_json_init(pinaud_json_t *json, const unsigned char *text,
    size_t len);

/*
 * Reads one token. What it returns is grammatical so far: of an object each
 * NAME comes before its value, and END is only told of one whole value.
 */
pinaud_json_token_e pinaud_json_next(pinaud_json_t *json);

/*
 * The next code point of a string that the reader has accepted; moves *p,
 * which must be before the string's end.
 */
uint32_t pinaud_json_char(const unsigned char **p);

/* Writes a code point as UTF-8: 1 to 4 bytes. Returns how many. */
size_t pinaud_json_encode(uint32_t c, unsigned char *to);

/*
 * Decodes what stands between the quotes of an accepted string. Writes at
 * most "size" bytes; returns the decoded length, or size + 1 where that is
 * more. What is decoded is never longer than what it was.
 */
size_t pinaud_json_decode(const unsigned char *text, size_t len,
    unsigned char *to, size_t size);


#pragma GCC visibility pop


#endif /* _PINAUD_JSON_H_INCLUDED_ */
