
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What type of JSON a client's Accept field asks for.
 */


#include "ngx_pinaud.h"


static ngx_uint_t ngx_pinaud_accept_admits(ngx_str_t *accept,
    ngx_uint_t *json);
static ngx_uint_t ngx_pinaud_accept_excluded(u_char *p, u_char *last);


ngx_uint_t
ngx_pinaud_accept_json(ngx_http_request_t *r)
{
    ngx_uint_t          json;
    ngx_table_elt_t    *h;
    ngx_pinaud_walk_t   walk;

    json = 0;

    ngx_pinaud_walk(&walk, &r->headers_in.headers);

    while ((h = ngx_pinaud_walk_next(&walk)) != NULL) {

        if (ngx_pinaud_walk_is(h, "Accept", 6)
            && ngx_pinaud_accept_admits(&h->value, &json))
        {
            return 0;
        }
    }

    return json;
}


/* Whether a list of media ranges admits problem+json; json: whether JSON. */

static ngx_uint_t
ngx_pinaud_accept_admits(ngx_str_t *accept, ngx_uint_t *json)
{
    size_t   len;
    u_char  *p, *last, *end, *next;

    p = accept->data;
    last = p + accept->len;

    for ( /* void */ ; p < last; p = next + 1) {

        next = ngx_strlchr(p, last, ',');
        next = next ? next : last;

        while (p < next && (*p == ' ' || *p == '\t')) {
            p++;
        }

        for (end = p; end < next && *end != ';' && *end != ' '
                      && *end != '\t'; end++)
        {
            /* void */
        }

        if (ngx_pinaud_accept_excluded(end, next)) {
            continue;
        }

        len = end - p;

        if ((len == 3 && ngx_strncmp(p, "*/*", 3) == 0)
            || (len == 13
                && ngx_strncasecmp(p, (u_char *) "application/*", 13) == 0)
            || (len == 24
                && ngx_strncasecmp(p, (u_char *) "application/problem+json",
                                   24)
                   == 0))
        {
            return 1;
        }

        if (len == 16
            && ngx_strncasecmp(p, (u_char *) "application/json", 16) == 0)
        {
            *json = 1;
        }
    }

    return 0;
}


/* Whether a range's parameters have "q=0", which rules it out. */

static ngx_uint_t
ngx_pinaud_accept_excluded(u_char *p, u_char *last)
{
    while (p < last) {

        if (*p == ';' || *p == ' ' || *p == '\t') {
            p++;
            continue;
        }

        if (last - p >= 3 && (*p | 0x20) == 'q' && p[1] == '='
            && p[2] == '0')
        {
            for (p += 3; p < last && (*p == '.' || *p == '0'); p++) {
                /* void */
            }

            return p == last || *p == ';' || *p == ' ' || *p == '\t';
        }

        while (p < last && *p != ';') {
            p++;
        }
    }

    return 0;
}
