
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include "pinaud_json_scan.h"


static int pinaud_json_hex(const unsigned char *p, const unsigned char *end);


const unsigned char *
pinaud_json_escape(pinaud_json_t *json, const unsigned char *p)
{
    int                   code, low;
    const unsigned char  *end;

    end = json->end;

    if (end - p < 2) {
        (void) pinaud_json_fail(json, PINAUD_JSON_SYNTAX, end,
                                "ends within a string");
        return NULL;
    }

    switch (p[1]) {

    case '"': case '\\': case '/':
    case 'b': case 'f': case 'n': case 'r': case 't':
        return p + 2;

    case 'u':
        break;

    default:
        (void) pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                                "has an unknown escape in a string");
        return NULL;
    }

    code = pinaud_json_hex(p + 2, end);

    if (code < 0) {
        (void) pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                                "has an unknown escape in a string");
        return NULL;
    }

    if (code == 0) {
        (void) pinaud_json_fail(json, PINAUD_JSON_ENCODING, p,
                                "has U+0000 in a string");
        return NULL;
    }

    if (code < 0xD800 || code > 0xDFFF) {
        return p + 6;
    }

    if (code < 0xDC00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
        low = pinaud_json_hex(p + 8, end);

        if (low >= 0xDC00 && low <= 0xDFFF) {
            return p + 12;
        }
    }

    (void) pinaud_json_fail(json, PINAUD_JSON_ENCODING, p,
                            "has a lone surrogate in a string");
    return NULL;
}


static int
pinaud_json_hex(const unsigned char *p, const unsigned char *end)
{
    int       code;
    unsigned  c, i;

    if (end - p < 4) {
        return -1;
    }

    code = 0;

    for (i = 0; i < 4; i++) {
        c = p[i];

        if (PINAUD_JSON_DIGIT(c)) {
            c -= '0';

        } else {
            c |= 0x20;

            if (c < 'a' || c > 'f') {
                return -1;
            }

            c -= 'a' - 10;
        }

        code = code << 4 | (int) c;
    }

    return code;
}


const unsigned char *
pinaud_json_utf8(const unsigned char *p, const unsigned char *end)
{
    unsigned  n, i, low, high;

    low = 0x80;
    high = 0xBF;

    if (*p >= 0xC2 && *p <= 0xDF) {
        n = 1;

    } else if (*p >= 0xE0 && *p <= 0xEF) {
        n = 2;
        low = (*p == 0xE0) ? 0xA0 : low;     /* overlong */
        high = (*p == 0xED) ? 0x9F : high;   /* surrogates */

    } else if (*p >= 0xF0 && *p <= 0xF4) {
        n = 3;
        low = (*p == 0xF0) ? 0x90 : low;     /* overlong */
        high = (*p == 0xF4) ? 0x8F : high;   /* over U+10FFFF */

    } else {
        return NULL;
    }

    if ((size_t) (end - p) <= n || p[1] < low || p[1] > high) {
        return NULL;
    }

    for (i = 2; i <= n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return NULL;
        }
    }

    return p + n + 1;
}


uint32_t
pinaud_json_char(const unsigned char **p)
{
    uint32_t              c, low;
    const unsigned char  *s;

    s = *p;

    if (*s < 0x80 && *s != '\\') {
        *p = s + 1;
        return *s;
    }

    if (*s == '\\') {
        *p = s + 2;

        switch (s[1]) {
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        case 'u':
            break;
        default:
            return s[1];
        }

        c = (uint32_t) pinaud_json_hex(s + 2, s + 6);
        *p = s + 6;

        if (c < 0xD800 || c > 0xDFFF) {
            return c;
        }

        low = (uint32_t) pinaud_json_hex(s + 8, s + 12);
        *p = s + 12;

        return 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }

    if (*s < 0xE0) {
        *p = s + 2;
        return (uint32_t) (s[0] & 0x1F) << 6 | (s[1] & 0x3F);
    }

    if (*s < 0xF0) {
        *p = s + 3;
        return (uint32_t) (s[0] & 0x0F) << 12 | (uint32_t) (s[1] & 0x3F) << 6
               | (s[2] & 0x3F);
    }

    *p = s + 4;

    return (uint32_t) (s[0] & 0x07) << 18 | (uint32_t) (s[1] & 0x3F) << 12
           | (uint32_t) (s[2] & 0x3F) << 6 | (s[3] & 0x3F);
}


size_t
pinaud_json_encode(uint32_t c, unsigned char *to)
{
    if (c < 0x80) {
        to[0] = (unsigned char) c;
        return 1;
    }

    if (c < 0x800) {
        to[0] = (unsigned char) (0xC0 | c >> 6);
        to[1] = (unsigned char) (0x80 | (c & 0x3F));
        return 2;
    }

    if (c < 0x10000) {
        to[0] = (unsigned char) (0xE0 | c >> 12);
        to[1] = (unsigned char) (0x80 | (c >> 6 & 0x3F));
        to[2] = (unsigned char) (0x80 | (c & 0x3F));
        return 3;
    }

    to[0] = (unsigned char) (0xF0 | c >> 18);
    to[1] = (unsigned char) (0x80 | (c >> 12 & 0x3F));
    to[2] = (unsigned char) (0x80 | (c >> 6 & 0x3F));
    to[3] = (unsigned char) (0x80 | (c & 0x3F));

    return 4;
}


size_t
pinaud_json_decode(const unsigned char *text, size_t len, unsigned char *to,
    size_t size)
{
    size_t                n, room;
    unsigned char         utf8[4];
    const unsigned char  *end;

    end = text + len;
    room = size;

    while (text < end) {
        n = pinaud_json_encode(pinaud_json_char(&text), utf8);

        if (n > room) {
            return size + 1;
        }

        memcpy(to, utf8, n);
        to += n;
        room -= n;
    }

    return size - room;
}
