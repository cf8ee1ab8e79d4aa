
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The contract as data: the members of each object, their forms, ranges and
 * closed lists. docs/contract.md has the same for people, with its sources.
 */


#ifndef _PINAUD_CONTRACT_H_INCLUDED_
#define _PINAUD_CONTRACT_H_INCLUDED_


#include "pinaud_audience.h"


#pragma GCC visibility push(hidden)


#define PINAUD_MEMBER_NAME  18     /* the longest name that is known */
#define PINAUD_WORD         16     /* the longest word of a closed list */
#define PINAUD_ACCOUNT_ID   18     /* digits of the longest account id */


/* A set of audience types. */

#define PINAUD_TYPE_BIT(type)  (1u << (type))

#define PINAUD_CUSTOMER_LIST_BIT  PINAUD_TYPE_BIT(PINAUD_TYPE_CUSTOMER_LIST)
#define PINAUD_ACTALIKE_BIT       PINAUD_TYPE_BIT(PINAUD_TYPE_ACTALIKE)
#define PINAUD_VISITOR_BIT        PINAUD_TYPE_BIT(PINAUD_TYPE_VISITOR)
#define PINAUD_ENGAGEMENT_BIT     PINAUD_TYPE_BIT(PINAUD_TYPE_ENGAGEMENT)


/* What one value must be. */

typedef enum {
    PINAUD_FORM_STRING = 0,        /* any, even an empty one */
    PINAUD_FORM_TEXT,              /* not empty */
    PINAUD_FORM_NAME,              /* not only white space */
    PINAUD_FORM_ID,                /* ASCII digits */
    PINAUD_FORM_ACCOUNT,           /* an id, equal to the path's */
    PINAUD_FORM_COUNTRY,           /* two upper-case ASCII letters */
    PINAUD_FORM_WORD,              /* one of a closed list */
    PINAUD_FORM_TYPE,              /* such a list: of audience types */
    PINAUD_FORM_INTEGER,
    PINAUD_FORM_BOOLEAN,
    PINAUD_FORM_STRING_OR_INTEGER,
    PINAUD_FORM_STRING_OR_NUMBER,
    PINAUD_FORM_OBJECT,
    PINAUD_FORMS
} pinaud_form_e;


/* What may stand around it. An array that holds it is never empty. */

typedef enum {
    PINAUD_SHAPE_ONE = 0,          /* the value alone */
    PINAUD_SHAPE_ARRAY,            /* an array of such values */
    PINAUD_SHAPE_EITHER,           /* alone or an array, forwarded as it came */
    PINAUD_SHAPE_UNWRAP            /* alone, or an array of exactly one, which
                                      is forwarded alone */
} pinaud_shape_e;


typedef struct {
    const char             *text;
    size_t                  len;
} pinaud_word_t;


typedef struct pinaud_object_s  pinaud_object_t;


typedef struct {
    const char             *name;
    size_t                  len;
    const char             *label;      /* with its path: "rule.percentage" */

    pinaud_form_e           form;
    pinaud_shape_e          shape;
    const char             *must;       /* detail of pattern, enum, range */
    const pinaud_word_t    *words;      /* the closed list, to a NULL text */
    const pinaud_object_t  *object;     /* an object's members; where the form
                                           is another one: may come instead */

    int                     min;        /* of integers; none where max is 0 */
    int                     max;

    unsigned                required:1; /* in its object */
    unsigned                decimal:1;  /* documented as a decimal string */
    unsigned                needed:1;   /* by the type that it tells */
    unsigned                tells;      /* the type that it tells, as a bit */
    unsigned                with;       /* the types that it goes with; 0: any
                                           that is told */
    const char             *needs;      /* the member that it does not come
                                           without, */
    const char             *because;    /* and the detail where that is not
                                           there */
} pinaud_member_t;


struct pinaud_object_s {
    const pinaud_member_t  *members;    /* by length of name; at most 32 */
    unsigned                count;
    uint8_t                 start[PINAUD_MEMBER_NAME + 2];
                                        /* the first with so long a name, or
                                           a longer one */
    unsigned                required:1; /* some are */
    unsigned                own:1;      /* others are the caller's own */
    unsigned                nulls:1;    /* lenient drops those that are null */
    unsigned                rule:1;     /* tells the audience's type */
    unsigned                choice:1;   /* exactly one of them, */
    const char             *must;       /* and the detail where not */
};


/* The body of an operation. */
const pinaud_object_t *pinaud_contract_body(pinaud_operation_e operation);

/* The member of that name (decoded), or NULL. */
const pinaud_member_t *pinaud_contract_member(const pinaud_object_t *object,
    const unsigned char *name, size_t len);

/* The place of a word in its list, or -1. */
int pinaud_contract_word(const pinaud_word_t *words, const unsigned char *text,
    size_t len, unsigned any_case);


#pragma GCC visibility pop


#endif /* _PINAUD_CONTRACT_H_INCLUDED_ */
