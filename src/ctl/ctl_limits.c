
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Limits as operators write and read them.
 */


#include <string.h>
#include "ctl.h"


static const char *ctl_limit_text(ctl_t *ctl, const pinaud_limit_t *limit);


int
ctl_limits_given(ctl_t *ctl, const char *option, pinaud_limits_t *limits,
    int *named)
{
    int          none;
    unsigned     i;
    const char  *reason, *text;

    limits->count = 0;
    *named = 0;
    none = 0;
    i = 0;

    while ((text = ctl_given_next(ctl, option, &i)) != NULL) {

        *named = 1;

        if (strcmp(text, "none") == 0) {
            none = 1;
            continue;
        }

        reason = pinaud_limits_add(limits, text, strlen(text));

        if (reason != NULL) {
            return ctl_fail(CTL_USAGE, "--%s %s: %s", option, text, reason);
        }
    }

    if (none && limits->count) {
        return ctl_fail(CTL_USAGE, "--%s none goes with no other limit",
                        option);
    }

    return CTL_DONE;
}


int
ctl_reserve_given(ctl_t *ctl, const char *option, unsigned *reserve,
    int *named)
{
    const char  *text;

    *reserve = 0;
    text = ctl_given(ctl, option);
    *named = (text != NULL);

    if (text == NULL || strcmp(text, "none") == 0 || strcmp(text, "0") == 0
        || pinaud_reserve_read(reserve, text, strlen(text)) == 0)
    {
        return CTL_DONE;
    }

    return ctl_fail(CTL_USAGE, "--%s %s: is not 1 to 1000000, or none",
                    option, text);
}


const char *
ctl_limits_text(ctl_t *ctl, const pinaud_limits_t *limits)
{
    unsigned     i;
    const char  *text;

    if (limits->count == 0) {
        return "none";
    }

    text = "";

    for (i = 0; i < limits->count; i++) {
        text = ctl_format(ctl, "%s%s%s", text, i ? " " : "",
                          ctl_limit_text(ctl, &limits->limit[i]));
    }

    return text;
}


json_t *
ctl_limits_json(ctl_t *ctl, const pinaud_limits_t *limits)
{
    json_t    *array;
    unsigned   i;

    array = json_array();

    for (i = 0; i < limits->count; i++) {
        ctl_json_append(array,
            json_string(ctl_limit_text(ctl, &limits->limit[i])));
    }

    return array;
}


/* A minute stays 60s, as everybody writes it. */

static const char *
ctl_limit_text(ctl_t *ctl, const pinaud_limit_t *limit)
{
    unsigned  w;

    w = limit->window;

    if (w % 86400 == 0) {
        return ctl_format(ctl, "%u/%ud", limit->n, w / 86400);
    }

    if (w % 3600 == 0) {
        return ctl_format(ctl, "%u/%uh", limit->n, w / 3600);
    }

    if (w % 60 == 0 && w != 60) {
        return ctl_format(ctl, "%u/%um", limit->n, w / 60);
    }

    return ctl_format(ctl, "%u/%us", limit->n, w);
}


const char *
ctl_limits_record(ctl_t *ctl, const pinaud_limits_t *limits)
{
    char  *text;

    text = ctl_alloc(ctl, PINAUD_LIMITS_TEXT);
    pinaud_limits_write(limits, text);

    return text;
}


const char *
ctl_reserve_text(ctl_t *ctl, unsigned reserve)
{
    return reserve ? ctl_number(ctl, reserve) : NULL;
}


int
ctl_limits_equal(const pinaud_limits_t *one, const pinaud_limits_t *two)
{
    return one->count == two->count
           && memcmp(one->limit, two->limit,
                     one->count * sizeof(pinaud_limit_t))
              == 0;
}


int
ctl_limits_tier(const char *tier, pinaud_limits_t *limits,
    pinaud_limits_t *limits_all)
{
    limits->count = 0;
    limits_all->count = 0;

    /* what Pinterest allows: see docs/pinaudctl.md */

    if (strcmp(tier, "standard") == 0) {
        (void) pinaud_limits_add(limits, "400/60s", 7);
        (void) pinaud_limits_add(limits_all, "100/1s", 6);
        return 1;
    }

    if (strcmp(tier, "trial") == 0) {
        (void) pinaud_limits_add(limits, "300/1d", 6);
        return 1;
    }

    return 0;
}
