
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a valid audience is: one pass over a request's body gives the verdict,
 * every error with its pointer, and the edits that make the forwarded form.
 * No nginx, no I/O, no allocation: all memory is the caller's.
 */


#ifndef _PINAUD_AUDIENCE_H_INCLUDED_
#define _PINAUD_AUDIENCE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#pragma GCC visibility push(hidden)


#define PINAUD_AUDIENCE_MAX_ERRORS   32
#define PINAUD_AUDIENCE_MAX_POINTER  256


typedef enum {
    PINAUD_CREATE_CUSTOM = 0,      /* audiences/create_custom */
    PINAUD_CREATE                  /* audiences/create */
} pinaud_operation_e;


typedef enum {
    PINAUD_TYPE_NONE = 0,
    PINAUD_TYPE_CUSTOMER_LIST,
    PINAUD_TYPE_ACTALIKE,
    PINAUD_TYPE_VISITOR,
    PINAUD_TYPE_ENGAGEMENT
} pinaud_audience_type_e;


typedef enum {
    PINAUD_ERROR_SYNTAX = 0,
    PINAUD_ERROR_ENCODING,
    PINAUD_ERROR_DEPTH,
    PINAUD_ERROR_UNKNOWN,
    PINAUD_ERROR_DUPLICATE,
    PINAUD_ERROR_TYPE,
    PINAUD_ERROR_EMPTY,
    PINAUD_ERROR_PATTERN,
    PINAUD_ERROR_ENUM,
    PINAUD_ERROR_RANGE,
    PINAUD_ERROR_CONFLICT,
    PINAUD_ERROR_REQUIRED,
    PINAUD_ERROR_AUDIENCE_TYPE,
    PINAUD_ERROR_CODES             /* how many there are */
} pinaud_error_code_e;


/* What is to be checked against: all of it the caller's, read only. */

typedef struct {
    pinaud_operation_e       operation;
    unsigned                 lenient:1;          /* pinaud_normalize lenient */
    unsigned                 forward_unknown:1;  /* pinaud_unknown_members */
    const unsigned char     *account;            /* the path's id, digits; may
                                                    be NULL: not compared */
    size_t                   account_len;
    uint64_t                 key[2];             /* of the names' hash: secret
                                                    and random per process */
} pinaud_audience_contract_t;


/*
 * One error. The pointer (RFC 6901) lies in the scratch memory and is not
 * zero terminated; the detail is static text, which never holds a value of
 * the body.
 */

typedef struct {
    pinaud_error_code_e      code;
    const unsigned char     *pointer;
    size_t                   pointer_len;
    const char              *detail;
    size_t                   offset;             /* of syntax, encoding, depth:
                                                    the byte's */
} pinaud_audience_error_t;


/*
 * One edit, in the order of the body: [offset, offset + length) -> text. A
 * member's value has at most one, however many rules it takes.
 */

typedef struct pinaud_edit_s  pinaud_edit_t;

struct pinaud_edit_s {
    pinaud_edit_t           *next;
    size_t                   offset;
    size_t                   length;
    const unsigned char     *text;               /* in the body, the scratch,
                                                    or static */
    size_t                   text_len;
    const char              *member;             /* static, "rule.percentage",
                                                    the label of a metric */
    const unsigned char     *pointer;            /* "/rule/percentage" */
    size_t                   pointer_len;
};


typedef struct {
    unsigned                 valid:1;
    pinaud_audience_type_e   type;               /* NONE when not exactly one */
    pinaud_audience_error_t  errors[PINAUD_AUDIENCE_MAX_ERRORS];
    unsigned                 nerrors;
    size_t                   omitted;            /* errors past those */
    size_t                   counts[PINAUD_ERROR_CODES];
                                                 /* of all errors, by code */
    pinaud_edit_t           *edits;
    unsigned                 nedits;
    size_t                   forwarded_len;      /* of the edited body; the
                                                    body's own when invalid */
} pinaud_audience_verdict_t;


/*
 * How much scratch memory a body of so many bytes may need: eight times the
 * body, for bodies of 1600 bytes and more; for shorter ones as much as for
 * 1600 bytes, since 32 errors may have pointers of 256 bytes whatever the
 * body's length.
 */
size_t pinaud_audience_scratch(size_t len);


/*
 * Checks a body against the contract. The verdict refers to the body and to
 * the scratch memory (aligned as malloc does), which both must live as long
 * as it is used. Takes any bytes; never fails for another reason than the
 * body's, but for less scratch memory than that, which at worst refuses the
 * body. What is not valid has no edits.
 */
void pinaud_audience_check(const pinaud_audience_contract_t *contract,
    const unsigned char *body, size_t len, void *scratch, size_t scratch_len,
    pinaud_audience_verdict_t *verdict);


/*
 * Writes the body with the verdict's edits to "to", which has room for
 * verdict->forwarded_len bytes. Returns the end of what was written.
 */
unsigned char *pinaud_audience_write(const pinaud_audience_verdict_t *verdict,
    const unsigned char *body, size_t len, unsigned char *to);


/* Names, static: "range", "VISITOR", "audiences/create". */
const char *pinaud_error_name(pinaud_error_code_e code);
const char *pinaud_audience_type_name(pinaud_audience_type_e type);
const char *pinaud_operation_name(pinaud_operation_e operation);


#pragma GCC visibility pop


#endif /* _PINAUD_AUDIENCE_H_INCLUDED_ */
