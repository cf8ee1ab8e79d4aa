
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Texts that the token endpoint is sent, and those that it answers for people.
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include "ctl_oauth_answer.h"


#define CTL_TEXT_WORD  20              /* longer words may be tokens */


static void ctl_text_hide(char *text);
static size_t ctl_text_word(const char *text);
static int ctl_text_token(const char *word, size_t len);


void
ctl_oauth_answer_reason(ctl_oauth_answer_t *answer, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    vsnprintf(answer->reason, CTL_REASON_MAX, fmt, args);
    va_end(args);

    ctl_oauth_printable(answer->reason);
}


void
ctl_oauth_answer_quote(ctl_oauth_answer_t *answer, const char *what,
    const char *message)
{
    char    *text;
    size_t   len;

    len = strlen(message);
    text = malloc(len + 1);

    if (text == NULL) {
        ctl_oauth_answer_reason(answer, "%s", what);
        return;
    }

    /* before it is cut, which would make a short word of a long one */

    memcpy(text, message, len + 1);
    ctl_text_hide(text);

    ctl_oauth_answer_reason(answer, "%s%s%s", what, len ? ": " : "", text);

    OPENSSL_cleanse(text, len);
    free(text);
}


void
ctl_oauth_printable(char *text)
{
    for ( /* void */ ; *text != '\0'; text++) {
        if (*text < 0x20 || *text >= 0x7f) {
            *text = '?';
        }
    }
}


/* A word that looks like a token may be one. */

static void
ctl_text_hide(char *text)
{
    char    *to;
    size_t   len;

    to = text;

    while (*text != '\0') {
        len = ctl_text_word(text);

        if (ctl_text_token(text, len)) {
            memcpy(to, "***", 3);
            to += 3;

        } else {
            len = len ? len : 1;
            memmove(to, text, len);
            to += len;
        }

        text += len;
    }

    *to = '\0';
}


/* Letters of tokens, also where they are encoded. */

static size_t
ctl_text_word(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789-._~+/=%");
}


/* As long as tokens are, or with one of their beginnings in it. */

static int
ctl_text_token(const char *word, size_t len)
{
    size_t  i;

    for (i = 0; i + 4 <= len; i++) {
        if (memcmp(word + i, "pin", 3) == 0 && strchr("acr", word[i + 3])) {
            return 1;
        }
    }

    return len > CTL_TEXT_WORD;
}


int
ctl_oauth_scope_has(const char *scope, const char *word)
{
    size_t  len;

    while (*scope != '\0') {
        len = strcspn(scope, " ,");

        if (len == strlen(word) && memcmp(scope, word, len) == 0) {
            return 1;
        }

        scope += len;
        scope += strspn(scope, " ,");
    }

    return 0;
}


char *
ctl_oauth_encode(char *to, const char *text)
{
    unsigned char  c;

    static const char  hex[] = "0123456789ABCDEF";

    while ((c = (unsigned char) *text++) != '\0') {

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9') || strchr("-._~", c) != NULL)
        {
            *to++ = (char) c;
            continue;
        }

        *to++ = '%';
        *to++ = hex[c >> 4];
        *to++ = hex[c & 15];
    }

    *to = '\0';

    return to;
}
