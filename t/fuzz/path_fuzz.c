
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A path that is taken for a call is that call's canonical path, byte for
 * byte; and the token endpoint is known however its path is spelt.
 */


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pinaud_path.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static const char  fuzz_base[] = "/v5/ad_accounts/";


/* Zero bytes become others: they would end the strings here. */

static size_t
fuzz_unescape(const uint8_t *data, size_t size, char *to)
{
    char      hex[3], *end;
    size_t    i, n;

    for (i = 0, n = 0; i < size; i++, n++) {
        to[n] = (char) data[i];

        if (data[i] == '%' && size - i > 2
            && strchr("0123456789abcdefABCDEF", data[i + 1]) != NULL
            && strchr("0123456789abcdefABCDEF", data[i + 2]) != NULL
            && data[i + 1] != '\0' && data[i + 2] != '\0')
        {
            memcpy(hex, data + i + 1, 2);
            hex[2] = '\0';
            to[n] = (char) strtol(hex, &end, 16);
            i += 2;
        }

        to[n] = to[n] ? to[n] : '\x01';
    }

    return n;
}


/* "/a//b/./c/../d" as "/a/b/d", decoded. */

static char *
fuzz_resolve(const uint8_t *data, size_t size)
{
    char    *text, *out, *p, *end, *slash, *to;
    size_t   n;

    text = malloc(size + 1);
    out = malloc(size + 2);

    end = text + fuzz_unescape(data, size, text);
    to = out;
    *to = '\0';

    for (p = text; p < end; p = slash) {
        p++;
        slash = memchr(p, '/', (size_t) (end - p));
        slash = slash ? slash : end;
        n = (size_t) (slash - p);

        if (n == 0 || (n == 1 && *p == '.')) {
            continue;
        }

        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (to > out && *--to != '/') { /* void */ }
            *to = '\0';
            continue;
        }

        *to++ = '/';
        memcpy(to, p, n);
        to += n;
        *to = '\0';
    }

    free(text);

    return out;
}


static void
fuzz_check(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char           *resolved, *want;
    size_t          len;
    const uint8_t  *query;
    pinaud_path_t   path;

    static const char  *suffix[] = {
        [PINAUD_PATH_CREATE_CUSTOM] = "/audiences/custom",
        [PINAUD_PATH_AUDIENCES] = "/audiences",
        [PINAUD_PATH_AUDIENCE] = "/audiences/",
        [PINAUD_PATH_ACCOUNT] = "/"
    };

    memset(&path, 0xA5, sizeof(path));
    pinaud_path_read(data, size, &path);

    query = size ? memchr(data, '?', size) : NULL;
    len = query ? (size_t) (query - data) : size;

    fuzz_check(path.query == (query != NULL), "query");
    fuzz_check((path.account != NULL) == (path.kind <= PINAUD_PATH_ACCOUNT),
               "account");

    if (len == 0 || *data != '/') {
        fuzz_check(path.kind == PINAUD_PATH_UNKNOWN, "no path");
        return 0;
    }

    resolved = fuzz_resolve(data, len);

    fuzz_check((path.kind == PINAUD_PATH_OAUTH)
               == (strcmp(resolved, "/v5/oauth") == 0
                   || strncmp(resolved, "/v5/oauth/", 10) == 0), "oauth");

    if (strncmp(resolved, fuzz_base, sizeof(fuzz_base) - 1) != 0) {
        fuzz_check(path.kind >= PINAUD_PATH_OAUTH
                   && path.kind != PINAUD_PATH_INVALID, "not below");
    }

    if (path.kind <= PINAUD_PATH_ACCOUNT) {
        fuzz_check(strlen(resolved) == len
                   && memcmp(resolved, data, len) == 0, "not canonical");

        fuzz_check(path.account == data + sizeof(fuzz_base) - 1
                   && path.account_len >= 1 && path.account_len <= 18, "id");

        want = malloc(64);
        len = (size_t) sprintf(want, "%s%.*s%s", fuzz_base,
                               (int) path.account_len, path.account,
                               suffix[path.kind]);

        fuzz_check(strncmp(resolved, want, len) == 0, "prefix");
        fuzz_check(path.kind > PINAUD_PATH_AUDIENCES || resolved[len] == '\0',
                   "suffix");
        fuzz_check(path.kind != PINAUD_PATH_AUDIENCE
                   || (strspn(resolved + len, "0123456789")
                       == strlen(resolved + len) && resolved[len] != '\0'),
                   "audience");
        free(want);
    }

    free(resolved);

    return 0;
}
