
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the reader's own files share.
 */


#ifndef _PINAUD_JSON_SCAN_H_INCLUDED_
#define _PINAUD_JSON_SCAN_H_INCLUDED_


#include "pinaud_json.h"


#pragma GCC visibility push(hidden)


#define PINAUD_JSON_SPACE(c)                                                  \
    ((c) == ' ' || (c) == '\n' || (c) == '\r' || (c) == '\t')

#define PINAUD_JSON_DIGIT(c)  ((unsigned) (c) - '0' < 10)


/* Notes the failure; returns PINAUD_JSON_ERROR. */
pinaud_json_token_e pinaud_json_fail(pinaud_json_t *json,
    pinaud_json_failure_e failure, const unsigned char *at,
    const char *detail);

/* The number at json->pos; what is no number is no value at all. */
pinaud_json_token_e pinaud_json_number(pinaud_json_t *json);

/* The end of the escape at p, or NULL with the failure noted. */
const unsigned char *pinaud_json_escape(pinaud_json_t *json,
    const unsigned char *p);

/* The end of the UTF-8 sequence of several bytes at p, or NULL. */
const unsigned char *pinaud_json_utf8(const unsigned char *p,
    const unsigned char *end);


#pragma GCC visibility pop


#endif /* _PINAUD_JSON_SCAN_H_INCLUDED_ */
