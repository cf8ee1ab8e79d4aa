
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include "pinaud_ratelimit.h"


#define PINAUD_RATELIMIT_QUOTA_MAX  1000000000


/* One element of the list: "400;w=60;name="ads_write_app_id_user_id"". */

typedef struct {
    long                  quota;
    long                  window;  /* s; -1: not told */
    const unsigned char  *name;    /* NULL: not told */
    size_t                name_len;
} pinaud_ratelimit_item_t;


static const unsigned char *pinaud_ratelimit_item(const unsigned char *p,
    const unsigned char *last, pinaud_ratelimit_item_t *item);
static const unsigned char *pinaud_ratelimit_parameter(
    const unsigned char *p, const unsigned char *last,
    pinaud_ratelimit_item_t *item);
static const unsigned char *pinaud_ratelimit_digits(const unsigned char *p,
    const unsigned char *last, long max, long *number);
static const unsigned char *pinaud_ratelimit_blank(const unsigned char *p,
    const unsigned char *last);
static pinaud_class_e pinaud_ratelimit_name(
    const pinaud_ratelimit_item_t *item);


pinaud_class_e
pinaud_ratelimit_class(const unsigned char *limit, size_t len, long reset)
{
    long                      nearest;
    int                       seconds;
    pinaud_class_e            class;
    const unsigned char      *p, *last;
    pinaud_ratelimit_item_t   item;

    last = limit + len;

    p = pinaud_ratelimit_item(limit, last, &item);

    if (p == NULL || item.name != NULL) {
        return PINAUD_CLASS_UNKNOWN;
    }

    nearest = item.quota;
    class = PINAUD_CLASS_UNKNOWN;

    while (p < last) {

        p = pinaud_ratelimit_item(p + 1, last, &item);

        if (p == NULL) {
            return PINAUD_CLASS_UNKNOWN;
        }

        if (item.quota != nearest || item.name == NULL) {
            continue;
        }

        /*
         * Two limits may have the same number: a limit by the second always
         * ends within one, and only a longer one can have more to go.
         */

        seconds = (item.window == 1);

        if (class == PINAUD_CLASS_UNKNOWN
            || (reset >= 0 && seconds == (reset <= 1)))
        {
            class = pinaud_ratelimit_name(&item);
        }
    }

    return class;
}


long
pinaud_ratelimit_number(const unsigned char *value, size_t len)
{
    long                  number;
    const unsigned char  *p, *last;

    last = value + len;

    p = pinaud_ratelimit_blank(value, last);
    p = pinaud_ratelimit_digits(p, last, PINAUD_RATELIMIT_RESET_MAX, &number);

    if (p == NULL || pinaud_ratelimit_blank(p, last) != last) {
        return -1;
    }

    return number;
}


/* Returns where the item ends, at a comma or the end; NULL: malformed. */

static const unsigned char *
pinaud_ratelimit_item(const unsigned char *p, const unsigned char *last,
    pinaud_ratelimit_item_t *item)
{
    item->window = -1;
    item->name = NULL;
    item->name_len = 0;

    p = pinaud_ratelimit_blank(p, last);
    p = pinaud_ratelimit_digits(p, last, PINAUD_RATELIMIT_QUOTA_MAX,
                                &item->quota);

    while (p != NULL) {

        p = pinaud_ratelimit_blank(p, last);

        if (p == last || *p == ',') {
            return p;
        }

        if (*p != ';') {
            return NULL;
        }

        p = pinaud_ratelimit_parameter(p + 1, last, item);
    }

    return NULL;
}


static const unsigned char *
pinaud_ratelimit_parameter(const unsigned char *p, const unsigned char *last,
    pinaud_ratelimit_item_t *item)
{
    size_t                len;
    const unsigned char  *name, *value;

    p = pinaud_ratelimit_blank(p, last);
    name = p;

    while (p < last && *p != '=' && *p != ';' && *p != ',') {
        p++;
    }

    if (p == last || *p != '=') {
        return NULL;
    }

    len = (size_t) (p++ - name);

    if (len == 1 && *name == 'w') {
        return pinaud_ratelimit_digits(p, last, PINAUD_RATELIMIT_QUOTA_MAX,
                                       &item->window);
    }

    if (p < last && *p == '"') {

        value = ++p;

        while (p < last && *p != '"') {
            p++;
        }

        if (p == last) {
            return NULL;
        }

        if (len == 4 && memcmp(name, "name", 4) == 0) {
            item->name = value;
            item->name_len = (size_t) (p - value);
        }

        return p + 1;
    }

    while (p < last && *p != ';' && *p != ',') {
        p++;
    }

    return p;
}


static const unsigned char *
pinaud_ratelimit_digits(const unsigned char *p, const unsigned char *last,
    long max, long *number)
{
    const unsigned char  *first;

    *number = 0;

    for (first = p; p < last && *p >= '0' && *p <= '9'; p++) {

        *number = *number * 10 + (*p - '0');

        if (*number > max) {
            return NULL;
        }
    }

    return (p == first) ? NULL : p;
}


static const unsigned char *
pinaud_ratelimit_blank(const unsigned char *p, const unsigned char *last)
{
    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    return p;
}


/* Names go on with what is counted by: "_app_id_user_id". */

static pinaud_class_e
pinaud_ratelimit_name(const pinaud_ratelimit_item_t *item)
{
    if (item->name_len >= 9 && memcmp(item->name, "ads_write", 9) == 0) {
        return PINAUD_CLASS_WRITES;
    }

    if (item->name_len >= 10 && memcmp(item->name, "safety_net", 10) == 0) {
        return PINAUD_CLASS_ALL;
    }

    return PINAUD_CLASS_OTHER;
}
