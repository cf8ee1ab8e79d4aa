
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A link: commands into bytes, bytes into replies.
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include "ctl_link.h"


#define CTL_LINK_ELEMENTS  (1 << 22)   /* of one array */
#define CTL_LINK_DEPTH     6           /* arrays in arrays */
#define CTL_LINK_BYTES     (1 << 28)   /* of one reply */


#if (HIREDIS_MAJOR >= 1)
typedef size_t  ctl_elements_t;
#else
typedef int     ctl_elements_t;
#endif


static void ctl_link_name(ctl_link_t *link);
static int ctl_link_reader(ctl_link_t *link);
static void *ctl_link_array(const redisReadTask *task,
    ctl_elements_t elements);
static int ctl_link_room(ctl_link_t *link, size_t len);
static int ctl_link_flush(ctl_link_t *link);


int
ctl_link_open(ctl_link_t *link, const pinaud_url_t *url, const ctl_tls_t *tls)
{
    memset(link, 0, sizeof(ctl_link_t));

    link->url = *url;
    link->tls = tls;
    link->fd = -1;

    ctl_link_name(link);

    if (ctl_link_reader(link) != 0 || ctl_socket_connect(link) != 0) {
        return -1;
    }

    return tls ? ctl_tls_connect(link) : 0;
}


static void
ctl_link_name(ctl_link_t *link)
{
    int                  v6;
    const pinaud_url_t  *url;

    url = &link->url;

    if (url->unix_socket) {
        snprintf(link->name, CTL_LINK_NAME, "unix:%s", url->host);
        return;
    }

    v6 = (strchr(url->host, ':') != NULL);

    snprintf(link->name, CTL_LINK_NAME, "%s://%s%s%s:%u/%u",
             url->tls ? "rediss" : "redis", v6 ? "[" : "", url->host,
             v6 ? "]" : "", url->port, url->db);
}


/*
 * hiredis makes room for as many elements as an array's first line tells,
 * which is all memory where that line is nonsense, and from version 1 on goes
 * as deep as it is led.
 */

static int
ctl_link_reader(ctl_link_t *link)
{
    link->reader = redisReaderCreate();

    if (link->reader == NULL) {
        return ctl_link_fail(link, "out of memory");
    }

    link->functions = *link->reader->fn;
    link->functions.createArray = ctl_link_array;
    link->reader->privdata = link->reader->fn;
    link->reader->fn = &link->functions;

    return 0;
}


static void *
ctl_link_array(const redisReadTask *task, ctl_elements_t elements)
{
    unsigned                          depth;
    const redisReadTask              *parent;
    const redisReplyObjectFunctions  *hiredis;

    hiredis = task->privdata;
    depth = 0;

    for (parent = task->parent; parent; parent = parent->parent) {
        depth++;
    }

    if (elements > CTL_LINK_ELEMENTS || depth > CTL_LINK_DEPTH) {
        return NULL;
    }

    return hiredis->createArray(task, elements);
}


/* What was written and not read may hold a password. */

void
ctl_link_close(ctl_link_t *link)
{
    ctl_socket_close(link);

    if (link->reader) {
        redisReaderFree(link->reader);
        link->reader = NULL;
    }

    if (link->out) {
        OPENSSL_cleanse(link->out, link->out_size);
        free(link->out);
        link->out = NULL;
    }
}


int
ctl_link_send(ctl_link_t *link, int argc, const char **argv,
    const size_t *lens)
{
    int    n, rc;
    char  *command;

    n = redisFormatCommandArgv(&command, argc, argv, lens);

    if (n < 0) {
        return ctl_link_fail(link, "out of memory");
    }

    rc = ctl_link_room(link, (size_t) n);

    if (rc == 0) {
        memcpy(link->out + link->out_len, command, (size_t) n);
        link->out_len += (size_t) n;
    }

    OPENSSL_cleanse(command, (size_t) n);
    redisFreeCommand(command);

    return rc;
}


static int
ctl_link_room(ctl_link_t *link, size_t len)
{
    char    *out;
    size_t   size;

    if (len <= link->out_size - link->out_len) {
        return 0;
    }

    size = (link->out_len + len) * 2;
    out = malloc(size);

    if (out == NULL) {
        return ctl_link_fail(link, "out of memory");
    }

    if (link->out) {
        memcpy(out, link->out, link->out_len);
        OPENSSL_cleanse(link->out, link->out_size);
        free(link->out);
    }

    link->out = out;
    link->out_size = size;

    return 0;
}


redisReply *
ctl_link_receive(ctl_link_t *link)
{
    char      bytes[16384];
    void     *reply;
    int64_t   deadline;
    ssize_t   n;

    if (ctl_link_flush(link) != 0) {
        return NULL;
    }

    deadline = ctl_clock() + CTL_LINK_REPLY;

    for ( ;; ) {

        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK
            || link->partial > CTL_LINK_BYTES)
        {
            ctl_link_fail(link, "what answers there is no Redis");
            return NULL;
        }

        if (reply != NULL) {
            link->partial = 0;
            return reply;
        }

        n = ctl_socket_read(link, bytes, sizeof(bytes), deadline);

        if (n < 0) {
            return NULL;
        }

        if (redisReaderFeed(link->reader, bytes, (size_t) n) != REDIS_OK) {
            ctl_link_fail(link, "out of memory");
            return NULL;
        }

        link->partial += (size_t) n;
    }
}


static int
ctl_link_flush(ctl_link_t *link)
{
    int  rc;

    if (link->fd == -1) {
        return ctl_link_fail(link, "not connected");
    }

    rc = ctl_socket_write(link, link->out, link->out_len);

    if (link->out_len) {
        OPENSSL_cleanse(link->out, link->out_len);
        link->out_len = 0;
    }

    return rc;
}


int
ctl_link_fail(ctl_link_t *link, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    vsnprintf(link->error, CTL_LINK_ERROR, fmt, args);
    va_end(args);

    return -1;
}
