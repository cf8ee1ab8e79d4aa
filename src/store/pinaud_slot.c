
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include "pinaud_slot.h"
#include "pinaud_url.h"


static unsigned pinaud_crc16(const char *bytes, size_t len);
static const char *pinaud_redirect_number(const char *start, const char *end,
    unsigned max, unsigned *value);


/*
 * The tag stands between the first "{" and the first "}" behind it, and is
 * none where it is empty.
 */

unsigned
pinaud_slot(const char *key, size_t len)
{
    const char  *close, *open;

    open = memchr(key, '{', len);

    if (open != NULL) {
        open++;
        close = memchr(open, '}', len - (size_t) (open - key));

        if (close != NULL && close != open) {
            key = open;
            len = (size_t) (close - open);
        }
    }

    return pinaud_crc16(key, len) % PINAUD_SLOTS;
}


/* CRC-16/XMODEM: polynomial 0x1021, begins with 0, four bits at a time. */

static unsigned
pinaud_crc16(const char *bytes, size_t len)
{
    size_t    i;
    unsigned  byte, crc;

    static const unsigned  nibbles[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef
    };

    crc = 0;

    for (i = 0; i < len; i++) {
        byte = (unsigned char) bytes[i];

        crc = (crc << 4 & 0xffff) ^ nibbles[crc >> 12 ^ byte >> 4];
        crc = (crc << 4 & 0xffff) ^ nibbles[crc >> 12 ^ (byte & 0xf)];
    }

    return crc;
}


/* The last colon ends the host, which may be an IPv6 address. */

int
pinaud_redirect_read(const char *text, size_t len,
    pinaud_redirect_t *redirect)
{
    size_t       n;
    const char  *colon, *end, *p;

    memset(redirect, 0, sizeof(pinaud_redirect_t));

    end = text + len;

    if (len > 6 && memcmp(text, "MOVED ", 6) == 0) {
        p = text + 6;

    } else if (len > 4 && memcmp(text, "ASK ", 4) == 0) {
        p = text + 4;
        redirect->ask = 1;

    } else {
        return -1;
    }

    p = pinaud_redirect_number(p, end, PINAUD_SLOTS - 1, &redirect->slot);

    if (p == NULL || p == end || *p++ != ' ') {
        return -1;
    }

    for (colon = end; colon > p && colon[-1] != ':'; colon--) {
        /* void */
    }

    if (colon == p
        || pinaud_redirect_number(colon, end, 65535, &redirect->port) != end
        || redirect->port == 0)
    {
        return -1;
    }

    n = (size_t) (colon - 1 - p);

    if (n > 0 && !pinaud_host_valid(p, n)) {
        return -1;
    }

    memcpy(redirect->host, p, n);

    return 0;
}


/* Returns where the digits end, or NULL. */

static const char *
pinaud_redirect_number(const char *start, const char *end, unsigned max,
    unsigned *value)
{
    const char  *p;

    *value = 0;

    for (p = start; p < end && *p >= '0' && *p <= '9'; p++) {
        *value = *value * 10 + (unsigned) (*p - '0');

        if (*value > max) {
            return NULL;
        }
    }

    return p == start ? NULL : p;
}
