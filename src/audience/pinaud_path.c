
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include <strings.h>
#include "pinaud_contract.h"
#include "pinaud_path.h"


/* The segments that matter: v5, ad_accounts, an id, audiences, a name. */

#define PINAUD_PATH_SEGMENTS  5

typedef struct {
    const unsigned char  *start;
    const unsigned char  *end;
} pinaud_segment_t;


typedef struct {
    pinaud_segment_t      segment[PINAUD_PATH_SEGMENTS];
    size_t                count;       /* with those past them */
    unsigned              canonical:1;
} pinaud_segments_t;


static void pinaud_path_split(const unsigned char *p, const unsigned char *end,
    pinaud_segments_t *segments);
static void pinaud_path_add(pinaud_segments_t *segments,
    const unsigned char *start, const unsigned char *end);
static int pinaud_path_char(const unsigned char **p, const unsigned char *end);
static int pinaud_path_hex(unsigned char c);
static int pinaud_path_is(const pinaud_segments_t *segments, size_t i,
    const char *word);
static pinaud_path_e pinaud_path_kind(const pinaud_segments_t *segments);
static int pinaud_path_alike(const pinaud_segment_t *segment,
    const char *word);
static int pinaud_path_digits(const pinaud_segment_t *segment);


/* RFC 3986, 2.3 */

static const unsigned char  pinaud_path_unreserved[256] = {
    ['0' ... '9'] = 1,
    ['A' ... 'Z'] = 1,
    ['a' ... 'z'] = 1,
    ['-'] = 1,
    ['.'] = 1,
    ['_'] = 1,
    ['~'] = 1
};


void
pinaud_path_read(const unsigned char *target, size_t len, pinaud_path_t *path)
{
    const unsigned char  *p, *end, *query;
    pinaud_segments_t     segments;

    path->account = NULL;
    path->account_len = 0;
    path->query = 0;

    end = target + len;
    query = memchr(target, '?', len);

    if (query != NULL) {
        path->query = 1;
    }

    if (len == 0 || *target != '/') {
        path->kind = PINAUD_PATH_UNKNOWN;
        return;
    }

    pinaud_path_split(target, query ? query : end, &segments);

    for (p = query ? query : end; p < end; p++) {
        if (*p <= 0x20 || *p >= 0x7F) {
            segments.canonical = 0;
        }
    }

    path->kind = pinaud_path_kind(&segments);

    if (path->kind <= PINAUD_PATH_ACCOUNT) {
        path->account = segments.segment[2].start;
        path->account_len = (size_t) (segments.segment[2].end - path->account);
    }
}


/*
 * Splits a path into what a lenient server may take for its segments: with
 * escapes decoded, slashes merged, dot segments resolved. It is canonical
 * where it has nothing of all that, nor any byte that is not unreserved.
 */

static void
pinaud_path_split(const unsigned char *p, const unsigned char *end,
    pinaud_segments_t *segments)
{
    int                   c;
    const unsigned char  *start, *next;

    segments->count = 0;
    segments->canonical = 1;

    p++;
    start = p;

    for ( ;; ) {

        while (p < end && pinaud_path_unreserved[*p]) {
            p++;
        }

        next = p;
        c = (p < end) ? pinaud_path_char(&next, end) : '/';

        if (c != '/') {

            /* an escape, or a byte that a path need not hold */

            segments->canonical = 0;

            p = next;
            continue;
        }

        if (next - p > 1) {
            segments->canonical = 0;
        }

        pinaud_path_add(segments, start, p);

        if (p == end) {
            return;
        }

        p = next;
        start = p;
    }
}


static void
pinaud_path_add(pinaud_segments_t *segments, const unsigned char *start,
    const unsigned char *end)
{
    size_t                dots;
    const unsigned char  *p;

    dots = 0;

    for (p = start; p < end; dots++) {
        if (pinaud_path_char(&p, end) != '.') {
            dots = 3;
            break;
        }
    }

    if (dots <= 2) {
        segments->canonical = 0;

        if (dots == 2 && segments->count > 0) {
            segments->count--;
        }

        return;
    }

    if (segments->count < PINAUD_PATH_SEGMENTS) {
        segments->segment[segments->count].start = start;
        segments->segment[segments->count].end = end;
    }

    segments->count++;
}


/* The next byte, decoded; moves *p, which is before the end. */

static int
pinaud_path_char(const unsigned char **p, const unsigned char *end)
{
    int                   high, low;
    const unsigned char  *s;

    s = *p;

    if (*s == '%' && end - s > 2) {
        high = pinaud_path_hex(s[1]);
        low = pinaud_path_hex(s[2]);

        if (high >= 0 && low >= 0) {
            *p = s + 3;
            return high << 4 | low;
        }
    }

    *p = s + 1;

    return *s;
}


static int
pinaud_path_hex(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


/* Whether a segment is that word after decoding. */

static int
pinaud_path_is(const pinaud_segments_t *segments, size_t i, const char *word)
{
    const unsigned char  *p, *end;

    if (i >= segments->count) {
        return 0;
    }

    p = segments->segment[i].start;
    end = segments->segment[i].end;

    while (p < end) {
        if (*word == '\0' || pinaud_path_char(&p, end) != *word) {
            return 0;
        }

        word++;
    }

    return *word == '\0';
}


static pinaud_path_e
pinaud_path_kind(const pinaud_segments_t *segments)
{
    if (!pinaud_path_is(segments, 0, "v5")) {
        return PINAUD_PATH_UNKNOWN;
    }

    if (pinaud_path_is(segments, 1, "oauth")) {
        return PINAUD_PATH_OAUTH;
    }

    if (!pinaud_path_is(segments, 1, "ad_accounts") || segments->count < 3) {
        return PINAUD_PATH_UNKNOWN;
    }

    if (!segments->canonical) {
        return PINAUD_PATH_INVALID;
    }

    if (segments->count == 3) {
        return PINAUD_PATH_UNKNOWN;
    }

    if (!pinaud_path_digits(&segments->segment[2])) {
        return PINAUD_PATH_INVALID;
    }

    if (!pinaud_path_is(segments, 3, "audiences")) {

        /* another spelling may still be the same to a server */

        return pinaud_path_alike(&segments->segment[3], "audiences")
               ? PINAUD_PATH_INVALID : PINAUD_PATH_ACCOUNT;
    }

    if (segments->count == 4) {
        return PINAUD_PATH_AUDIENCES;
    }

    if (segments->count > 5) {
        return PINAUD_PATH_ACCOUNT;
    }

    if (pinaud_path_is(segments, 4, "custom")) {
        return PINAUD_PATH_CREATE_CUSTOM;
    }

    if (pinaud_path_alike(&segments->segment[4], "custom")) {
        return PINAUD_PATH_INVALID;
    }

    return pinaud_path_digits(&segments->segment[4]) ? PINAUD_PATH_AUDIENCE
                                                     : PINAUD_PATH_ACCOUNT;
}


/* Whether a canonical segment is that word in whatever letter case. */

static int
pinaud_path_alike(const pinaud_segment_t *segment, const char *word)
{
    size_t  len;

    len = (size_t) (segment->end - segment->start);

    return len == strlen(word)
           && strncasecmp((const char *) segment->start, word, len) == 0;
}


static int
pinaud_path_digits(const pinaud_segment_t *segment)
{
    const unsigned char  *p;

    if (segment->end - segment->start > PINAUD_ACCOUNT_ID) {
        return 0;
    }

    for (p = segment->start; p < segment->end; p++) {
        if (*p < '0' || *p > '9') {
            return 0;
        }
    }

    return 1;
}
