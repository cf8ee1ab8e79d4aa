
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The fields of a request that is to be sent: its framing is that of the body
 * that was checked, and nothing goes along that is the token's place, the
 * team's key, or means more to Pinterest than the gateway looked at.
 */


#include "ngx_pinaud.h"


/* What the lines were so far, and what they have to say of the body. */

typedef struct {
    ngx_uint_t   lengths;          /* Content-Length, Transfer-Encoding */
    ngx_uint_t   types;            /* Content-Type */
    ngx_uint_t   chunked;          /* it is yet to come, in chunks */
    off_t        length;           /* of Content-Length; -1: there is none to
                                      be */
} ngx_pinaud_gate_fields_t;


static const char *ngx_pinaud_gate_framing(ngx_pinaud_gate_fields_t *told,
    u_char *line, u_char *colon, u_char *end);
static ngx_uint_t ngx_pinaud_gate_chunked(ngx_pinaud_record_t *record);
static off_t ngx_pinaud_gate_length(ngx_pinaud_record_t *record);
static ngx_uint_t ngx_pinaud_gate_drop(u_char *line, u_char *colon);
static ngx_uint_t ngx_pinaud_gate_holds(u_char *p, u_char *end,
    ngx_str_t *key);
static ngx_uint_t ngx_pinaud_gate_is(u_char *line, u_char *colon,
    const char *name, size_t len);
static ngx_uint_t ngx_pinaud_gate_alike(u_char *line, u_char *colon,
    const char *name, size_t len);


/*
 * Goes through the lines and closes the gaps that those leave which must not
 * be sent. The empty line at the end goes too: it follows the token.
 */

const char *
ngx_pinaud_gate_fields(ngx_pinaud_record_t *record, ngx_buf_t *b,
    u_char *fields)
{
    u_char                    *line, *end, *colon, *to;
    const char                *reason;
    ngx_pinaud_gate_fields_t   told;

    if (b->last - fields < 2
        || ngx_memcmp(b->last - 4, CRLF CRLF, sizeof(CRLF CRLF) - 1) != 0)
    {
        return "its header does not end";
    }

    told.lengths = 0;
    told.types = 0;
    told.chunked = ngx_pinaud_gate_chunked(record);
    told.length = ngx_pinaud_gate_length(record);

    to = fields;

    for (line = fields; line < b->last - 2; line = end + 1) {

        end = memchr(line, LF, b->last - 2 - line);

        if (end == NULL || end == line || *(end - 1) != CR) {
            return "a malformed line";
        }

        colon = memchr(line, ':', end - line);

        if (colon == NULL || colon == line || *line == ' ' || *line == '\t') {
            return "a malformed line";
        }

        reason = ngx_pinaud_gate_framing(&told, line, colon, end);

        if (reason) {
            return reason;
        }

        if (ngx_pinaud_gate_is(line, colon, "Content-Type", 12)
            && told.types++)
        {
            continue;
        }

        if (ngx_pinaud_gate_drop(line, colon)
            || ngx_pinaud_gate_holds(colon, end, &record->team_key))
        {
            continue;
        }

        if (to != line) {
            ngx_memmove(to, line, end + 1 - line);
        }

        to += end + 1 - line;
    }

    if ((record->create || told.chunked || told.length > 0)
        && told.lengths == 0)
    {
        return "it has no length";
    }

    if (record->create && told.types == 0) {
        return "it has no Content-Type";
    }

    b->last = to;

    return NULL;
}


/* One length, and that of the body: else what follows is another request. */

static const char *
ngx_pinaud_gate_framing(ngx_pinaud_gate_fields_t *told, u_char *line,
    u_char *colon, u_char *end)
{
    off_t  length;

    if (ngx_pinaud_gate_is(line, colon, "Transfer-Encoding", 17)) {

        if (!told->chunked || end - colon != sizeof(": chunked" CRLF) - 2
            || ngx_memcmp(colon, ": chunked", sizeof(": chunked") - 1) != 0)
        {
            return "it has a Transfer-Encoding";
        }

    } else if (ngx_pinaud_gate_is(line, colon, "Content-Length", 14)) {

        length = (end - 1 > colon + 2)
                 ? ngx_atoof(colon + 2, end - 1 - (colon + 2)) : -1;

        if (length < 0 || length != told->length) {
            return "another length";
        }

    } else {
        return NULL;
    }

    return told->lengths++ ? "two lengths" : NULL;
}


/* Whether the body is yet to come, in chunks as the client sends them. */

static ngx_uint_t
ngx_pinaud_gate_chunked(ngx_pinaud_record_t *record)
{
    ngx_http_request_t  *r;

    r = record->request;

    return record->write && !record->create && r->reading_body
           && r->headers_in.chunked;
}


/* What Content-Length says; -1: there is none to be. */

static off_t
ngx_pinaud_gate_length(ngx_pinaud_record_t *record)
{
    if (record->create || !record->write) {
        return record->body.len;
    }

    return ngx_pinaud_gate_chunked(record)
           ? -1 : record->request->headers_in.content_length_n;
}


/* Whether a field is one that Pinterest is not to have. */

static ngx_uint_t
ngx_pinaud_gate_drop(u_char *line, u_char *colon)
{
    switch (*line | 0x20) {

    case 'a':
        return ngx_pinaud_gate_is(line, colon, "Authorization", 13);

    case 'c':
        return ngx_pinaud_gate_is(line, colon, "Cookie", 6)
               || (memchr(line, '_', colon - line)
                   && (ngx_pinaud_gate_alike(line, colon, "Content-Length", 14)
                       || ngx_pinaud_gate_alike(line, colon, "Content-Type",
                                                12)));

    case 'p':
        return ngx_pinaud_gate_alike(line, colon, "Proxy-Authorization", 19);

    case 't':
        return memchr(line, '_', colon - line)
               && ngx_pinaud_gate_alike(line, colon, "Transfer-Encoding", 17);

    case 'x':
        return ngx_pinaud_gate_alike(line, colon, "X-HTTP-Method-Override", 22)
               || ngx_pinaud_gate_alike(line, colon, "X-HTTP-Method", 13)
               || ngx_pinaud_gate_alike(line, colon, "X-Method-Override", 17);

    default:
        return 0;
    }
}


/* Whether a value holds the team key, whatever the field's name is. */

static ngx_uint_t
ngx_pinaud_gate_holds(u_char *p, u_char *end, ngx_str_t *key)
{
    if (key->len == 0) {
        return 0;
    }

    for ( /* void */ ; p + key->len <= end; p++) {

        p = memchr(p, *key->data, end - key->len + 1 - p);

        if (p == NULL) {
            return 0;
        }

        if (ngx_memcmp(p, key->data, key->len) == 0) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_pinaud_gate_is(u_char *line, u_char *colon, const char *name, size_t len)
{
    return (size_t) (colon - line) == len
           && ngx_pinaud_alike(line, name, len);
}


/*
 * With underscores, too, which servers of the CGI kind take for hyphens. nginx
 * passes such a name on only with "underscores_in_headers on".
 */

static ngx_uint_t
ngx_pinaud_gate_alike(u_char *line, u_char *colon, const char *name,
    size_t len)
{
    size_t  i;

    if ((size_t) (colon - line) != len) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (ngx_tolower(line[i]) != ngx_tolower(name[i])
            && (line[i] != '_' || name[i] != '-'))
        {
            return 0;
        }
    }

    return 1;
}
