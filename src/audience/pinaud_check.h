
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The state of one check, shared by the files that make it.
 */


#ifndef _PINAUD_CHECK_H_INCLUDED_
#define _PINAUD_CHECK_H_INCLUDED_


#include "pinaud_audience.h"
#include "pinaud_contract.h"
#include "pinaud_json.h"
#include "pinaud_names.h"


#pragma GCC visibility push(hidden)


/* "No error", as the last in the order of precedence. */

#define PINAUD_OK  PINAUD_ERROR_CODES


/* Where the check is within an open object or array. */

typedef struct {
    const unsigned char         *name;     /* of the member, as it came; NULL
                                              in an array */
    size_t                       len;
    size_t                       index;    /* of the item */
    size_t                       object;   /* offset of the brace */
} pinaud_frame_t;


typedef struct {
    pinaud_json_t                json;
    const pinaud_audience_contract_t  *contract;
    pinaud_audience_verdict_t   *verdict;

    unsigned char               *memory;   /* the caller's scratch: edits or, */
    unsigned char               *free;     /* after the first error, pointers */
    unsigned char               *end;      /* and behind them the names */
    unsigned                     exhausted:1;

    pinaud_names_t               names;    /* slots: NULL until needed */
    pinaud_edit_t               *last;

    unsigned                     rule:1;   /* there is one, an object */
    unsigned                     told;     /* its audience types, as bits */
    pinaud_audience_type_e       declared; /* audience_type */
    const unsigned char         *account;  /* the path's, or the body's first
                                              where that is not known */
    size_t                       account_len;
    unsigned char                first_account[PINAUD_ACCOUNT_ID];

    pinaud_frame_t               frames[PINAUD_JSON_MAX_DEPTH + 1];
                                           /* by depth; 0 is not used */
} pinaud_check_t;


/*
 * Levels are depths: an error at a level concerns what that level's frame
 * names. With a name, that member of what the level's frame names. The detail
 * is static text.
 */
void pinaud_check_error(pinaud_check_t *check, unsigned level,
    const char *name, pinaud_error_code_e code, const char *detail);

/* The one error of a body that is not JSON. */
void pinaud_check_alone(pinaud_check_t *check, pinaud_error_code_e code,
    size_t offset, const char *detail);

/*
 * Adds an edit of [start, end), unless there were errors or memory is out:
 * then returns NULL.
 */
pinaud_edit_t *pinaud_check_edit(pinaud_check_t *check, unsigned level,
    const char *label, const unsigned char *start, const unsigned char *end,
    const unsigned char *text, size_t len);

/* Scratch memory of that size, or NULL with "exhausted" noted. */
void *pinaud_check_take(pinaud_check_t *check, size_t size);

/* The next of it will be aligned. */
void pinaud_check_align(pinaud_check_t *check);

/*
 * How many members a body of that length may have: each takes five bytes at
 * least, as in "":0 with what ends it.
 */
size_t pinaud_check_names(size_t len);

/*
 * Each of these has its value's first token already, and leaves the reader
 * behind the value. The level is that of the frame which names the value.
 */

/* An object of the contract; returns 1 where it has an error of its own. */
int pinaud_check_object(pinaud_check_t *check, const pinaud_object_t *object,
    unsigned level);

/* A member's value; returns 1 where it has an error of its own. */
int pinaud_check_value(pinaud_check_t *check, const pinaud_member_t *member,
    unsigned level, pinaud_json_token_e token);

/* Any value: only JSON's own rules. */
void pinaud_check_skip(pinaud_check_t *check, pinaud_json_token_e token);


/* A value that is neither object nor array, as it came and as it goes. */

typedef struct {
    const unsigned char         *start;    /* in the body, with its quotes */
    const unsigned char         *end;
    const unsigned char         *inner;    /* behind the quote */
    const unsigned char         *text;     /* what is forwarded, */
    size_t                       len;
    unsigned                     quoted;   /* in quotes of its own, */
    unsigned                     edited;   /* where that is not as it came */
    int                          word;     /* its place in the closed list */
    const char                  *detail;   /* of the error */
} pinaud_value_t;


/* Reads the token that the reader is at; returns its error or PINAUD_OK. */
pinaud_error_code_e pinaud_value_read(pinaud_check_t *check,
    const pinaud_json_t *json, pinaud_json_token_e token,
    const pinaud_member_t *member, pinaud_value_t *value);

/* The same for the forms that are digits. */
pinaud_error_code_e pinaud_value_id(pinaud_check_t *check,
    const pinaud_json_t *json, pinaud_json_token_e token,
    const pinaud_member_t *member, pinaud_value_t *value);
pinaud_error_code_e pinaud_value_integer(pinaud_check_t *check,
    const pinaud_json_t *json, pinaud_json_token_e token,
    const pinaud_member_t *member, pinaud_value_t *value);

/*
 * A string's decoded text: as it stands in the body where it has no escapes,
 * else in the buffer. Returns its length, which is over "size" where it does
 * not fit there.
 */
size_t pinaud_value_short(const pinaud_json_t *json,
    const unsigned char **text, unsigned char *to, size_t size);

/* The text of such an error; of TYPE without a value. */
const char *pinaud_value_detail(const pinaud_member_t *member,
    pinaud_error_code_e code, const pinaud_value_t *value);


#pragma GCC visibility pop


#endif /* _PINAUD_CHECK_H_INCLUDED_ */
