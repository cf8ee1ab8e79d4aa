
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include "pinaud_json_scan.h"

#if (__SSE2__)
#include <emmintrin.h>
#endif


static pinaud_json_token_e pinaud_json_value(pinaud_json_t *json);
static pinaud_json_token_e pinaud_json_open(pinaud_json_t *json,
    unsigned object);
static pinaud_json_token_e pinaud_json_close(pinaud_json_t *json,
    unsigned object);
static pinaud_json_token_e pinaud_json_name(pinaud_json_t *json);
static pinaud_json_token_e pinaud_json_literal(pinaud_json_t *json,
    const char *word, size_t len, pinaud_json_token_e token);
static int pinaud_json_string(pinaud_json_t *json);
static const unsigned char *pinaud_json_plain(const unsigned char *p,
    const unsigned char *end);


/* A byte of a string that needs no look: ASCII, but no quote, no backslash. */

#define PINAUD_JSON_PLAIN(c)                                                  \
    ((c) >= 0x20 && (c) < 0x80 && (c) != '"' && (c) != '\\')


void
pinaud_json_init(pinaud_json_t *json, const unsigned char *text, size_t len)
{
    json->start = text;
    json->pos = text;
    json->end = text + len;
    json->token = text;
    json->len = 0;
    json->escaped = 0;
    json->depth = 0;
    json->objects = 0;
    json->state = PINAUD_JSON_WANT_VALUE;

    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        (void) pinaud_json_fail(json, PINAUD_JSON_ENCODING, text,
                                "starts with a byte order mark");
    }
}


pinaud_json_token_e
pinaud_json_next(pinaud_json_t *json)
{
    unsigned              object;
    const unsigned char  *p, *end;

    p = json->pos;
    end = json->end;

    while (p < end && PINAUD_JSON_SPACE(*p)) {
        p++;
    }

    json->pos = p;

    switch (json->state) {

    case PINAUD_JSON_WANT_VALUE:
        return pinaud_json_value(json);

    case PINAUD_JSON_WANT_FIRST_NAME:
        if (p < end && *p == '}') {
            return pinaud_json_close(json, 1);
        }

        return pinaud_json_name(json);

    case PINAUD_JSON_WANT_FIRST_ITEM:
        if (p < end && *p == ']') {
            return pinaud_json_close(json, 0);
        }

        return pinaud_json_value(json);

    case PINAUD_JSON_WANT_MORE:
        break;

    case PINAUD_JSON_WANT_NOTHING:
        if (p < end) {
            return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                                    "has data after its end");
        }

        return PINAUD_JSON_END;

    default:  /* PINAUD_JSON_FAILED */
        return PINAUD_JSON_ERROR;
    }

    object = (unsigned) (json->objects >> json->depth) & 1;

    if (p < end && *p == (object ? '}' : ']')) {
        return pinaud_json_close(json, object);
    }

    if (p == end || *p != ',') {
        return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                                object ? "a comma or } is expected"
                                       : "a comma or ] is expected");
    }

    do {
        p++;
    } while (p < end && PINAUD_JSON_SPACE(*p));

    json->pos = p;

    return object ? pinaud_json_name(json) : pinaud_json_value(json);
}


pinaud_json_token_e
pinaud_json_fail(pinaud_json_t *json, pinaud_json_failure_e failure,
    const unsigned char *at, const char *detail)
{
    json->state = PINAUD_JSON_FAILED;
    json->failure = failure;
    json->offset = (size_t) (at - json->start);
    json->detail = detail;

    return PINAUD_JSON_ERROR;
}


static pinaud_json_token_e
pinaud_json_value(pinaud_json_t *json)
{
    const unsigned char  *p;

    p = json->pos;

    if (p == json->end) {
        return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                                json->depth ? "ends too early" : "is empty");
    }

    switch (*p) {

    case '"':
        if (!pinaud_json_string(json)) {
            return PINAUD_JSON_ERROR;
        }

        json->state = json->depth ? PINAUD_JSON_WANT_MORE
                                  : PINAUD_JSON_WANT_NOTHING;
        return PINAUD_JSON_STRING;

    case '{':
        return pinaud_json_open(json, 1);

    case '[':
        return pinaud_json_open(json, 0);

    case 't':
        return pinaud_json_literal(json, "true", 4, PINAUD_JSON_TRUE);

    case 'f':
        return pinaud_json_literal(json, "false", 5, PINAUD_JSON_FALSE);

    case 'n':
        return pinaud_json_literal(json, "null", 4, PINAUD_JSON_NULL);

    default:
        return pinaud_json_number(json);
    }
}


static pinaud_json_token_e
pinaud_json_open(pinaud_json_t *json, unsigned object)
{
    uint64_t  bit;

    if (json->depth == PINAUD_JSON_MAX_DEPTH) {
        return pinaud_json_fail(json, PINAUD_JSON_DEPTH, json->pos,
                                "is nested more than 32 levels deep");
    }

    json->token = json->pos++;
    json->len = 1;
    bit = (uint64_t) 1 << ++json->depth;

    if (object) {
        json->objects |= bit;
        json->state = PINAUD_JSON_WANT_FIRST_NAME;
        return PINAUD_JSON_OBJECT;
    }

    json->objects &= ~bit;
    json->state = PINAUD_JSON_WANT_FIRST_ITEM;

    return PINAUD_JSON_ARRAY;
}


static pinaud_json_token_e
pinaud_json_close(pinaud_json_t *json, unsigned object)
{
    json->token = json->pos++;
    json->len = 1;
    json->state = --json->depth ? PINAUD_JSON_WANT_MORE
                                : PINAUD_JSON_WANT_NOTHING;

    return object ? PINAUD_JSON_OBJECT_END : PINAUD_JSON_ARRAY_END;
}


static pinaud_json_token_e
pinaud_json_name(pinaud_json_t *json)
{
    const unsigned char  *p, *end;

    p = json->pos;
    end = json->end;

    if (p == end || *p != '"') {
        return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                                "a member's name is expected");
    }

    if (!pinaud_json_string(json)) {
        return PINAUD_JSON_ERROR;
    }

    p = json->pos;

    while (p < end && PINAUD_JSON_SPACE(*p)) {
        p++;
    }

    if (p == end || *p != ':') {
        return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                                "a colon is expected");
    }

    json->pos = p + 1;
    json->state = PINAUD_JSON_WANT_VALUE;

    return PINAUD_JSON_NAME;
}


static pinaud_json_token_e
pinaud_json_literal(pinaud_json_t *json, const char *word, size_t len,
    pinaud_json_token_e token)
{
    if ((size_t) (json->end - json->pos) < len
        || memcmp(json->pos, word, len) != 0)
    {
        return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, json->pos,
                                "a value is expected");
    }

    json->token = json->pos;
    json->len = len;
    json->pos += len;
    json->state = json->depth ? PINAUD_JSON_WANT_MORE
                              : PINAUD_JSON_WANT_NOTHING;

    return token;
}


static int
pinaud_json_string(pinaud_json_t *json)
{
    const unsigned char  *p, *end, *next;

    p = json->pos + 1;
    end = json->end;

    json->token = p;
    json->escaped = 0;

    for ( ;; ) {
        p = pinaud_json_plain(p, end);

        if (p == end) {
            (void) pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                                    "ends within a string");
            return 0;
        }

        if (*p == '"') {
            json->len = (size_t) (p - json->token);
            json->pos = p + 1;
            return 1;
        }

        if (*p == '\\') {
            json->escaped = 1;
            p = pinaud_json_escape(json, p);

            if (p == NULL) {
                return 0;
            }

            continue;
        }

        if (*p < 0x20) {
            if (*p == '\0') {
                (void) pinaud_json_fail(json, PINAUD_JSON_ENCODING, p,
                                        "has U+0000 in a string");
            } else {
                (void) pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                              "has an unescaped control character in a string");
            }

            return 0;
        }

        next = pinaud_json_utf8(p, end);

        if (next == NULL) {
            (void) pinaud_json_fail(json, PINAUD_JSON_ENCODING, p,
                                    "is not UTF-8");
            return 0;
        }

        p = next;
    }
}


/*
 * The end of the plain bytes at p. Where there is SSE2, sixteen at a time: as
 * signed bytes, those from 0x80 on are less than a space, too.
 */

static const unsigned char *
pinaud_json_plain(const unsigned char *p, const unsigned char *end)
{
#if (__SSE2__)
    unsigned       marks;
    __m128i        bytes, special;
    const __m128i  space = _mm_set1_epi8(' ');
    const __m128i  quote = _mm_set1_epi8('"');
    const __m128i  backslash = _mm_set1_epi8('\\');

    while (end - p >= 16) {
        bytes = _mm_loadu_si128((const __m128i *) p);

        special = _mm_or_si128(_mm_cmplt_epi8(bytes, space),
                               _mm_or_si128(_mm_cmpeq_epi8(bytes, quote),
                                            _mm_cmpeq_epi8(bytes, backslash)));

        marks = (unsigned) _mm_movemask_epi8(special);

        if (marks != 0) {
            return p + __builtin_ctz(marks);
        }

        p += 16;
    }
#endif

    while (p < end && PINAUD_JSON_PLAIN(*p)) {
        p++;
    }

    return p;
}
