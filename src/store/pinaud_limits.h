
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Limits of a bucket: "N/W", at most N requests in any W.
 */


#ifndef _PINAUD_LIMITS_H_INCLUDED_
#define _PINAUD_LIMITS_H_INCLUDED_


#include <stddef.h>


#pragma GCC visibility push(hidden)


#define PINAUD_LIMITS_MAX   4          /* a bucket */
#define PINAUD_LIMITS_TEXT  64         /* of their record form, with zero */
#define PINAUD_LIMIT_N_MAX  1000000
#define PINAUD_TEAM_TEXT    (PINAUD_LIMITS_TEXT + sizeof(" reserve=1000000"))


typedef struct {
    unsigned  n;                   /* requests, 0 to 1,000,000 */
    unsigned  window;              /* seconds, 1 to 86,400 */
} pinaud_limit_t;


typedef struct {
    pinaud_limit_t  limit[PINAUD_LIMITS_MAX];
    unsigned        count;
} pinaud_limits_t;


/*
 * Adds one "N/W" (W in s, m, h or d) as an operator writes it. Returns NULL,
 * or the reason why not as static text.
 */
const char *pinaud_limits_add(pinaud_limits_t *limits, const char *text,
    size_t len);

/*
 * The form that records hold, windows in seconds: "400/60 100/1". Reading
 * returns 0, or -1 where the text is no such list. Writing returns the
 * length; "to" has PINAUD_LIMITS_TEXT bytes.
 */
int pinaud_limits_read(pinaud_limits_t *limits, const char *text, size_t len);
size_t pinaud_limits_write(const pinaud_limits_t *limits, char *to);


/*
 * What an account's record says of a team: its limits and, where it has one,
 * its reserve: "100/60 10/1 reserve=20". 0: no reserve. Writing returns the
 * length; "to" has PINAUD_TEAM_TEXT bytes.
 */
int pinaud_team_read(pinaud_limits_t *limits, unsigned *reserve,
    const char *text, size_t len);
size_t pinaud_team_write(const pinaud_limits_t *limits, unsigned reserve,
    char *to);

/* A reserve, or the sum of them: 1 to 1,000,000. Returns 0, or -1. */
int pinaud_reserve_read(unsigned *reserve, const char *text, size_t len);

/* The limit of the longest window, which reserves are part of; or NULL. */
const pinaud_limit_t *pinaud_limits_longest(const pinaud_limits_t *limits);


#pragma GCC visibility pop


#endif /* _PINAUD_LIMITS_H_INCLUDED_ */
