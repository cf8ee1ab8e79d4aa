
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Memory of one command. Any block may have held a secret, so all are wiped.
 */


#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include "ctl.h"
#include "pinaud_json_scan.h"


struct ctl_block_s {
    ctl_block_t  *next;
    redisReply   *reply;               /* instead of bytes */
    size_t        size;
    max_align_t   bytes[];
};


static ctl_block_t *ctl_block(ctl_t *ctl, size_t size);


void *
ctl_alloc(ctl_t *ctl, size_t size)
{
    return ctl_block(ctl, size)->bytes;
}


char *
ctl_copy(ctl_t *ctl, const char *text, size_t len)
{
    char  *copy;

    copy = ctl_alloc(ctl, len + 1);
    memcpy(copy, text, len);

    return copy;
}


char *
ctl_printable(ctl_t *ctl, const char *text, size_t len)
{
    char                 *copy;
    unsigned char        *p;
    const unsigned char  *end, *next;

    copy = ctl_copy(ctl, text, len);

    p = (unsigned char *) copy;
    end = p + len;

    while (p < end) {
        next = (*p < 0x80) ? p + 1 : pinaud_json_utf8(p, end);

        /* U+0080 to U+009F are control characters, too */

        if (next == NULL || *p < 0x20 || *p == 0x7f
            || (*p == 0xc2 && p[1] < 0xa0))
        {
            *p++ = '?';
            continue;
        }

        p += next - p;
    }

    return copy;
}


char *
ctl_format(ctl_t *ctl, const char *fmt, ...)
{
    int      n;
    char    *text;
    va_list  args;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);

    text = ctl_alloc(ctl, (size_t) n + 1);

    va_start(args, fmt);
    vsnprintf(text, (size_t) n + 1, fmt, args);
    va_end(args);

    return text;
}


const char *
ctl_number(ctl_t *ctl, uint64_t number)
{
    return ctl_format(ctl, "%llu", (unsigned long long) number);
}


redisReply *
ctl_own(ctl_t *ctl, redisReply *reply)
{
    ctl_block(ctl, 0)->reply = reply;

    return reply;
}


void
ctl_wipe_free(void *memory)
{
    if (memory != NULL) {
        OPENSSL_cleanse(memory, malloc_usable_size(memory));
        free(memory);
    }
}


void
ctl_pool_free(ctl_t *ctl)
{
    ctl_pool_release(ctl, NULL);
}


ctl_block_t *
ctl_pool_mark(ctl_t *ctl)
{
    return ctl->pool;
}


void
ctl_pool_release(ctl_t *ctl, ctl_block_t *mark)
{
    ctl_block_t  *block, *next;

    for (block = ctl->pool; block != mark; block = next) {
        next = block->next;

        if (block->reply) {
            freeReplyObject(block->reply);
        }

        OPENSSL_cleanse(block->bytes, block->size);
        free(block);
    }

    ctl->pool = mark;
}


static ctl_block_t *
ctl_block(ctl_t *ctl, size_t size)
{
    ctl_block_t  *block;

    block = calloc(1, sizeof(ctl_block_t) + size);

    if (block == NULL) {
        exit(ctl_fail(CTL_REFUSED, "out of memory"));
    }

    block->size = size;
    block->next = ctl->pool;
    ctl->pool = block;

    return block;
}
