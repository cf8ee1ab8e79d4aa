
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include "pinaud_url.h"


#define PINAUD_URL_PORT      6379
#define PINAUD_URL_DB_MAX    999999999

#define PINAUD_URL_NAME      "abcdefghijklmnopqrstuvwxyz"                     \
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

/* sizeof a literal counts its zero */
#define pinaud_url_starts(text, len, scheme)                                 \
    ((len) >= sizeof(scheme) - 1                                             \
     && memcmp(text, scheme, sizeof(scheme) - 1) == 0)


typedef struct {
    const char  *start;
    const char  *end;
} pinaud_span_t;


static const char *pinaud_url_parse(const char *text, size_t len,
    pinaud_url_t *url);
static const char *pinaud_url_path(pinaud_span_t *rest, pinaud_url_t *url);
static const char *pinaud_url_user(pinaud_span_t *rest, pinaud_url_t *url);
static const char *pinaud_url_db(pinaud_span_t *rest, pinaud_url_t *url);
static const char *pinaud_url_host(pinaud_span_t *rest, pinaud_url_t *url);
static const char *pinaud_url_bracketed(pinaud_span_t *rest,
    pinaud_url_t *url);
static int pinaud_url_number(const char *start, const char *end,
    unsigned max, unsigned *value);


int
pinaud_url_read(const char *text, size_t len, pinaud_url_t *url, char *error)
{
    const char  *reason;

    memset(url, 0, sizeof(pinaud_url_t));

    reason = pinaud_url_parse(text, len, url);

    if (reason == NULL) {
        return 0;
    }

    /* no part of the text is told: it may hold a password */

    snprintf(error, PINAUD_URL_ERROR, "%s", reason);

    return -1;
}


static const char *
pinaud_url_parse(const char *text, size_t len, pinaud_url_t *url)
{
    size_t          i;
    const char     *reason;
    pinaud_span_t   rest;

    for (i = 0; i < len; i++) {
        if ((unsigned char) text[i] <= 0x20 || text[i] == 0x7f) {
            return "a store's URL has no spaces and no control characters";
        }
    }

    rest.end = text + len;

    if (pinaud_url_starts(text, len, "unix:")) {
        rest.start = text + sizeof("unix:") - 1;
        return pinaud_url_path(&rest, url);
    }

    if (pinaud_url_starts(text, len, "redis://")) {
        rest.start = text + sizeof("redis://") - 1;

    } else if (pinaud_url_starts(text, len, "rediss://")) {
        rest.start = text + sizeof("rediss://") - 1;
        url->tls = 1;

    } else {
        return "a store's URL is redis://[user@]host[:port][/db], "
               "rediss://... or unix:/path";
    }

    url->port = PINAUD_URL_PORT;

    reason = pinaud_url_user(&rest, url);

    if (reason == NULL) {
        reason = pinaud_url_db(&rest, url);
    }

    if (reason == NULL) {
        reason = pinaud_url_host(&rest, url);
    }

    return reason;
}


static const char *
pinaud_url_path(pinaud_span_t *rest, pinaud_url_t *url)
{
    size_t              len;
    struct sockaddr_un  address;

    len = (size_t) (rest->end - rest->start);

    if (len < 2 || *rest->start != '/') {
        return "the path of a unix socket begins with a slash";
    }

    if (len >= sizeof(address.sun_path)) {
        return "the path of a unix socket is too long";
    }

    memcpy(url->host, rest->start, len);
    url->unix_socket = 1;

    return NULL;
}


/*
 * The last "@" ends the user, so that a password with any characters in it
 * is seen as one.
 */

static const char *
pinaud_url_user(pinaud_span_t *rest, pinaud_url_t *url)
{
    size_t       len;
    const char  *at;

    for (at = rest->end; at > rest->start && at[-1] != '@'; at--) {
        /* void */
    }

    if (at == rest->start) {
        return NULL;
    }

    at--;

    len = (size_t) (at - rest->start);

    if (memchr(rest->start, ':', len) != NULL) {
        return "a password in the URL is refused: "
               "put it into the password file";
    }

    if (len == 0 || len >= sizeof(url->user)
        || memchr(rest->start, '/', len) != NULL
        || memchr(rest->start, '@', len) != NULL
        || memchr(rest->start, '%', len) != NULL)
    {
        return "the user in the URL is 1 to 127 characters without / @ %";
    }

    memcpy(url->user, rest->start, len);
    rest->start = at + 1;

    return NULL;
}


static const char *
pinaud_url_db(pinaud_span_t *rest, pinaud_url_t *url)
{
    const char  *slash;

    slash = memchr(rest->start, '/', (size_t) (rest->end - rest->start));

    if (slash == NULL) {
        return NULL;
    }

    if (slash + 1 != rest->end
        && pinaud_url_number(slash + 1, rest->end, PINAUD_URL_DB_MAX,
                             &url->db) != 0)
    {
        return "the database in the URL is a number";
    }

    rest->end = slash;

    return NULL;
}


static const char *
pinaud_url_host(pinaud_span_t *rest, pinaud_url_t *url)
{
    size_t       len;
    const char  *colon, *reason;

    if (rest->start != rest->end && *rest->start == '[') {
        reason = pinaud_url_bracketed(rest, url);

        if (reason != NULL) {
            return reason;
        }

        colon = rest->start;

    } else {
        len = (size_t) (rest->end - rest->start);
        colon = memchr(rest->start, ':', len);

        if (colon == NULL) {
            colon = rest->end;

        } else if (memchr(colon + 1, ':', (size_t) (rest->end - colon - 1))
                   != NULL)
        {
            return "an IPv6 address in the URL goes in brackets";
        }

        len = (size_t) (colon - rest->start);

        if (len == 0 || len >= sizeof(url->host)) {
            return "the host in the URL is 1 to 255 characters";
        }

        memcpy(url->host, rest->start, len);

        if (strspn(url->host, PINAUD_URL_NAME) != len) {
            return "the host in the URL is a name or an address";
        }
    }

    if (colon == rest->end) {
        return NULL;
    }

    url->port_told = 1;

    if (*colon != ':'
        || pinaud_url_number(colon + 1, rest->end, 65535, &url->port) != 0
        || url->port == 0)
    {
        return "the port in the URL is a number from 1 to 65535";
    }

    return NULL;
}


/* "[address]": leaves what stands behind it. */

static const char *
pinaud_url_bracketed(pinaud_span_t *rest, pinaud_url_t *url)
{
    size_t            len;
    const char       *bracket;
    struct in6_addr   address;

    bracket = memchr(rest->start, ']', (size_t) (rest->end - rest->start));

    if (bracket != NULL) {
        rest->start++;
        len = (size_t) (bracket - rest->start);

        if (len < sizeof(url->host)) {
            memcpy(url->host, rest->start, len);
            rest->start = bracket + 1;

            if (inet_pton(AF_INET6, url->host, &address) == 1) {
                return NULL;
            }
        }
    }

    return "what stands in brackets in the URL is not an IPv6 address";
}


static int
pinaud_url_number(const char *start, const char *end, unsigned max,
    unsigned *value)
{
    const char  *p;

    *value = 0;

    if (start == end || end - start > 9) {
        return -1;
    }

    for (p = start; p < end; p++) {
        if (*p < '0' || *p > '9') {
            return -1;
        }

        *value = *value * 10 + (unsigned) (*p - '0');
    }

    return (*value > max) ? -1 : 0;
}


/* A colon is of an IPv6 address. */

int
pinaud_host_valid(const char *host, size_t len)
{
    size_t  i;

    if (len == 0 || len >= sizeof(((pinaud_url_t *) 0)->host)) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (host[i] == '\0' || strchr(PINAUD_URL_NAME ":", host[i]) == NULL) {
            return 0;
        }
    }

    return 1;
}


size_t
pinaud_password(const char *bytes, size_t len)
{
    size_t  i;

    if (len > 0 && bytes[len - 1] == '\n') {
        len--;

        if (len > 0 && bytes[len - 1] == '\r') {
            len--;
        }
    }

    if (len > PINAUD_PASSWORD_MAX) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if ((unsigned char) bytes[i] < 0x20 || bytes[i] == 0x7f) {
            return 0;
        }
    }

    return len;
}
