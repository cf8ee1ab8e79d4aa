
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The URL to which Pinterest sends a browser back.
 */


#include <string.h>
#include "ctl_redirect.h"


#define CTL_REDIRECT_AROUND  " \t\r\n\"'<>"


static char *ctl_redirect_query(char *text);
static int ctl_redirect_decode(char *text);
static int ctl_redirect_hex(char c);
static char **ctl_redirect_member(ctl_redirect_t *redirect,
    const char *name);


const char *
ctl_redirect_read(char *text, ctl_redirect_t *redirect)
{
    char  *name, *next, *value, **member;

    memset(redirect, 0, sizeof(ctl_redirect_t));

    for (name = ctl_redirect_query(text); name; name = next) {

        next = strchr(name, '&');

        if (next != NULL) {
            *next++ = '\0';
        }

        value = strchr(name, '=');

        if (value == NULL) {
            continue;
        }

        *value++ = '\0';

        if (ctl_redirect_decode(name) != 0
            || ctl_redirect_decode(value) != 0)
        {
            return "is not whole: its encoding is broken";
        }

        member = ctl_redirect_member(redirect, name);

        if (member == NULL) {
            continue;
        }

        if (*member != NULL) {
            return "says something twice";
        }

        *member = value;
    }

    if (redirect->code == NULL && redirect->error == NULL) {
        return "has neither a code nor an error in it";
    }

    return NULL;
}


/* Without what people copy along, what is before it and a fragment. */

static char *
ctl_redirect_query(char *text)
{
    char    *query;
    size_t   len;

    text += strspn(text, CTL_REDIRECT_AROUND);
    text[strcspn(text, "#")] = '\0';
    len = strlen(text);

    while (len > 0 && strchr(CTL_REDIRECT_AROUND, text[len - 1])) {
        text[--len] = '\0';
    }

    query = strchr(text, '?');

    return query ? query + 1 : text;
}


static int
ctl_redirect_decode(char *text)
{
    int    high, low;
    char  *to;

    for (to = text; *text != '\0'; to++) {

        if (*text != '%') {
            *to = (*text == '+') ? ' ' : *text;
            text++;
            continue;
        }

        high = ctl_redirect_hex(text[1]);
        low = (high < 0) ? -1 : ctl_redirect_hex(text[2]);

        if (low < 0 || (high == 0 && low == 0)) {
            return -1;
        }

        *to = (char) (high * 16 + low);
        text += 3;
    }

    *to = '\0';

    return 0;
}


static int
ctl_redirect_hex(char c)
{
    const char  *digit;

    static const char  digits[] = "0123456789abcdef0123456789ABCDEF";

    digit = (c == '\0') ? NULL : strchr(digits + (c >= 'a' ? 0 : 16), c);

    return digit ? (int) (digit - digits) % 16 : -1;
}


static char **
ctl_redirect_member(ctl_redirect_t *redirect, const char *name)
{
    if (strcmp(name, "code") == 0) {
        return &redirect->code;
    }

    if (strcmp(name, "state") == 0) {
        return &redirect->state;
    }

    if (strcmp(name, "error") == 0) {
        return &redirect->error;
    }

    if (strcmp(name, "error_description") == 0) {
        return &redirect->description;
    }

    return NULL;
}
