
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <stdio.h>
#include <string.h>
#include "pinaud_limits.h"


#define PINAUD_LIMIT_WINDOW_MAX  86400

#define PINAUD_RESERVE_WORD  "reserve="
#define PINAUD_RESERVE_LEN   (sizeof(PINAUD_RESERVE_WORD) - 1)


static size_t pinaud_limits_number(const char *text, size_t len,
    unsigned *value);
static const char *pinaud_limits_append(pinaud_limits_t *limits, unsigned n,
    unsigned window);


const char *
pinaud_limits_add(pinaud_limits_t *limits, const char *text, size_t len)
{
    size_t    used;
    unsigned  n, unit, window;

    used = pinaud_limits_number(text, len, &n);

    if (used == 0 || used == len || text[used] != '/') {
        return "is not N/W, such as 400/60s";
    }

    text += used + 1;
    len -= used + 1;

    used = pinaud_limits_number(text, len, &window);

    if (used == 0) {
        return "is not N/W, such as 400/60s";
    }

    if (used + 1 != len) {
        return "needs one unit after its window: s, m, h or d";
    }

    switch (text[used]) {

    case 's':
        unit = 1;
        break;

    case 'm':
        unit = 60;
        break;

    case 'h':
        unit = 3600;
        break;

    case 'd':
        unit = 86400;
        break;

    default:
        return "needs one unit after its window: s, m, h or d";
    }

    /* so that the product does not overflow */

    if (window > PINAUD_LIMIT_WINDOW_MAX / unit) {
        return "has a window that is not 1s to 1d";
    }

    return pinaud_limits_append(limits, n, window * unit);
}


int
pinaud_limits_read(pinaud_limits_t *limits, const char *text, size_t len)
{
    size_t    used;
    unsigned  n, window;

    limits->count = 0;

    while (len != 0) {

        used = pinaud_limits_number(text, len, &n);

        if (used == 0 || used == len || text[used] != '/') {
            return -1;
        }

        text += used + 1;
        len -= used + 1;

        used = pinaud_limits_number(text, len, &window);

        if (used == 0 || pinaud_limits_append(limits, n, window) != NULL) {
            return -1;
        }

        text += used;
        len -= used;

        if (len == 0) {
            break;
        }

        if (*text != ' ' || len == 1) {
            return -1;
        }

        text++;
        len--;
    }

    return 0;
}


size_t
pinaud_limits_write(const pinaud_limits_t *limits, char *to)
{
    char      *p;
    unsigned   i;

    p = to;
    *p = '\0';

    for (i = 0; i < limits->count; i++) {
        p += sprintf(p, "%s%u/%u", i ? " " : "", limits->limit[i].n,
                     limits->limit[i].window);
    }

    return (size_t) (p - to);
}


/* The word of a reserve is the last one, and begins no limit. */

int
pinaud_team_read(pinaud_limits_t *limits, unsigned *reserve,
    const char *text, size_t len)
{
    size_t  at;

    *reserve = 0;

    for (at = len; at > 0 && text[at - 1] != ' '; at--) {
        /* void */
    }

    if (len - at >= PINAUD_RESERVE_LEN
        && memcmp(text + at, PINAUD_RESERVE_WORD, PINAUD_RESERVE_LEN) == 0)
    {
        if (pinaud_reserve_read(reserve, text + at + PINAUD_RESERVE_LEN,
                                len - at - PINAUD_RESERVE_LEN)
            != 0)
        {
            return -1;
        }

        if (at == 1) {
            return -1;
        }

        len = at ? at - 1 : 0;
    }

    return pinaud_limits_read(limits, text, len);
}


size_t
pinaud_team_write(const pinaud_limits_t *limits, unsigned reserve, char *to)
{
    size_t  len;

    len = pinaud_limits_write(limits, to);

    if (reserve) {
        len += (size_t) sprintf(to + len, "%s" PINAUD_RESERVE_WORD "%u",
                                len ? " " : "", reserve);
    }

    return len;
}


int
pinaud_reserve_read(unsigned *reserve, const char *text, size_t len)
{
    size_t  used;

    used = pinaud_limits_number(text, len, reserve);

    return (used != 0 && used == len && *reserve >= 1
            && *reserve <= PINAUD_LIMIT_N_MAX) ? 0 : -1;
}


const pinaud_limit_t *
pinaud_limits_longest(const pinaud_limits_t *limits)
{
    unsigned               i;
    const pinaud_limit_t  *longest;

    longest = NULL;

    for (i = 0; i < limits->count; i++) {
        if (longest == NULL || limits->limit[i].window > longest->window) {
            longest = &limits->limit[i];
        }
    }

    return longest;
}


/* Digits without leading zeros, few enough for an unsigned: how many. */

static size_t
pinaud_limits_number(const char *text, size_t len, unsigned *value)
{
    size_t  i;

    *value = 0;

    for (i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++) {

        if (i == 9 || (i == 1 && text[0] == '0')) {
            return 0;
        }

        *value = *value * 10 + (unsigned) (text[i] - '0');
    }

    return i;
}


static const char *
pinaud_limits_append(pinaud_limits_t *limits, unsigned n, unsigned window)
{
    unsigned  i;

    if (n > PINAUD_LIMIT_N_MAX) {
        return "has an N that is not 0 to 1,000,000";
    }

    if (window == 0 || window > PINAUD_LIMIT_WINDOW_MAX) {
        return "has a window that is not 1s to 1d";
    }

    if (limits->count == PINAUD_LIMITS_MAX) {
        return "is one limit too many: a bucket has at most 4";
    }

    /* a bucket knows its limits' counts by their windows */

    for (i = 0; i < limits->count; i++) {
        if (limits->limit[i].window == window) {
            return "has the same window as another limit of the bucket";
        }
    }

    limits->limit[limits->count].n = n;
    limits->limit[limits->count].window = window;
    limits->count++;

    return NULL;
}
