
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The store: opened and closed, asked, and what it refuses.
 */


#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include "ctl.h"
#include "ctl_store.h"


#define CTL_STORE_CODE  24             /* the first word of an error */


static int ctl_store_create(ctl_t *ctl);
static const char *ctl_store_hint(const char *code);


int
ctl_store_check(ctl_t *ctl)
{
    int  rc;

    rc = ctl_store_create(ctl);
    ctl_store_close(ctl);

    return rc;
}


int
ctl_store_open(ctl_t *ctl)
{
    int           rc;
    ctl_node_t   *node;
    const char   *why;
    ctl_store_t  *store;

    rc = ctl_store_create(ctl);

    if (rc != CTL_DONE) {
        return rc;
    }

    store = ctl->store;
    node = ctl_store_node(store, &store->reach.urls[0]);

    if (node == NULL) {
        return ctl_fail(CTL_STORE, "out of memory");
    }

    ctl_store_on(ctl, &node->link);

    switch (store->reach.mode) {

    case PINAUD_REACH_SENTINEL:
        rc = ctl_sentinel_open(ctl, &why);
        break;

    case PINAUD_REACH_CLUSTER:
        rc = ctl_cluster_open(ctl, &why);
        break;

    default:
        rc = ctl_store_connect(ctl, store->link, &store->reach.urls[0],
                               &store->password, &why);
    }

    return (rc == 0) ? CTL_DONE : ctl_fail(CTL_STORE, "%s", why);
}


/* How to reach it, without a connection. */

static int
ctl_store_create(ctl_t *ctl)
{
    ctl->store = calloc(1, sizeof(ctl_store_t));

    return ctl->store ? ctl_reach_read(ctl, ctl->store)
                      : ctl_fail(CTL_STORE, "out of memory");
}


void
ctl_store_close(ctl_t *ctl)
{
    ctl_node_t   *next, *node;
    ctl_store_t  *store;

    store = ctl->store;
    ctl_ahead_end(ctl);

    if (store == NULL) {
        return;
    }

    for (node = store->nodes; node; node = next) {
        next = node->next;
        ctl_link_close(&node->link);
        free(node);
    }

    free(store->slots);
    ctl_tls_free(&store->tls);
    OPENSSL_cleanse(store, sizeof(ctl_store_t));
    free(store);

    ctl->store = NULL;
    ctl->redis_name = NULL;
}


ctl_node_t *
ctl_store_node(ctl_store_t *store, const pinaud_url_t *url)
{
    ctl_node_t  *node, **last;

    for (last = &store->nodes; *last; last = &(*last)->next) {
        node = *last;

        if (node->link.url.port == url->port
            && strcmp(node->link.url.host, url->host) == 0)
        {
            return node;
        }
    }

    node = calloc(1, sizeof(ctl_node_t));

    if (node != NULL) {
        node->link.fd = -1;
        node->link.url = *url;
        *last = node;
    }

    return node;
}


void
ctl_store_on(ctl_t *ctl, ctl_link_t *link)
{
    ctl->store->link = link;
    ctl->redis_name = link->name;
}


int
ctl_store_connect(ctl_t *ctl, ctl_link_t *link, const pinaud_url_t *url,
    const ctl_password_t *password, const char **why)
{
    ctl_words_t  *words;

    if (ctl_link_open(link, url, url->tls ? &ctl->store->tls : NULL) != 0) {
        *why = ctl_format(ctl, "cannot connect to Redis at %s: %s",
                          link->name, link->error);
        return -1;
    }

    if (password->len) {
        words = ctl_words(ctl, "AUTH", NULL);

        if (url->user[0]) {
            ctl_word(ctl, words, url->user);
        }

        ctl_word_bytes(ctl, words, password->text, password->len);

        if (ctl_store_talk(ctl, link, words, REDIS_REPLY_STATUS, why) == NULL)
        {
            return -1;
        }
    }

    if (url->db) {
        words = ctl_words(ctl, "SELECT", ctl_format(ctl, "%u", url->db),
                          NULL);

        if (ctl_store_talk(ctl, link, words, REDIS_REPLY_STATUS, why) == NULL)
        {
            return -1;
        }
    }

    return 0;
}


ctl_words_t *
ctl_words(ctl_t *ctl, ...)
{
    va_list       args;
    const char   *text;
    ctl_words_t  *words;

    words = ctl_alloc(ctl, sizeof(ctl_words_t));

    va_start(args, ctl);

    while ((text = va_arg(args, const char *)) != NULL) {
        ctl_word(ctl, words, text);
    }

    va_end(args);

    return words;
}


void
ctl_word(ctl_t *ctl, ctl_words_t *words, const char *text)
{
    ctl_word_bytes(ctl, words, text, strlen(text));
}


/* Refers to the bytes, which live in the pool or are static. */

void
ctl_word_bytes(ctl_t *ctl, ctl_words_t *words, const void *bytes, size_t len)
{
    size_t        *lens;
    const char   **argv;

    if (words->argc == words->room) {
        words->room = words->room ? words->room * 2 : 8;

        argv = ctl_alloc(ctl, sizeof(char *) * (size_t) words->room);
        lens = ctl_alloc(ctl, sizeof(size_t) * (size_t) words->room);

        if (words->argc) {
            memcpy(argv, words->argv, sizeof(char *) * (size_t) words->argc);
            memcpy(lens, words->lens, sizeof(size_t) * (size_t) words->argc);
        }

        words->argv = argv;
        words->lens = lens;
    }

    words->argv[words->argc] = bytes;
    words->lens[words->argc] = len;
    words->argc++;
}


redisReply *
ctl_ask(ctl_t *ctl, ctl_words_t *words, int type)
{
    int          lost;
    redisReply  *reply;
    const char  *why;

    reply = ctl_store_clustered(ctl->store)
            ? ctl_cluster_talk(ctl, words, type, &why, &lost)
            : ctl_store_talk(ctl, ctl->store->link, words, type, &why);

    if (reply == NULL) {
        ctl_fail(CTL_STORE, "%s", why);
    }

    return reply;
}


redisReply *
ctl_ask_values(ctl_t *ctl, ctl_words_t *words, const char *key, size_t n)
{
    size_t       i;
    redisReply  *reply;

    reply = ctl_ask(ctl, words, REDIS_REPLY_ARRAY);

    if (reply == NULL) {
        return NULL;
    }

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING
            && reply->element[i]->type != REDIS_REPLY_NIL)
        {
            break;
        }
    }

    if (i != n || i != reply->elements) {
        ctl_fail(CTL_STORE, "Redis at %s does not tell what %s holds",
                 ctl->redis_name, key);
        return NULL;
    }

    return reply;
}


redisReply *
ctl_store_talk(ctl_t *ctl, ctl_link_t *link, const ctl_words_t *words,
    int type, const char **why)
{
    redisReply  *reply;

    reply = NULL;

    if (ctl_link_send(link, words->argc, words->argv, words->lens) == 0) {
        reply = ctl_link_receive(link);
    }

    if (reply == NULL) {
        *why = ctl_format(ctl, "Redis at %s: %s", link->name, link->error);
        return NULL;
    }

    ctl_own(ctl, reply);

    if (type == CTL_ANY ? reply->type == REDIS_REPLY_ERROR
                        : reply->type != type)
    {
        *why = ctl_store_refusal(ctl, link->name, words, reply);
        return NULL;
    }

    return reply;
}


int
ctl_store_send(ctl_t *ctl, const ctl_words_t *words)
{
    if (ctl_link_send(ctl->store->link, words->argc, words->argv,
                      words->lens)
        != 0)
    {
        return ctl_store_lost(ctl);
    }

    return CTL_DONE;
}


redisReply *
ctl_store_receive(ctl_t *ctl)
{
    redisReply  *reply;

    reply = ctl_link_receive(ctl->store->link);

    if (reply == NULL) {
        ctl_store_lost(ctl);
        return NULL;
    }

    return ctl_own(ctl, reply);
}


int
ctl_store_refused(ctl_t *ctl, const ctl_words_t *words,
    const redisReply *reply)
{
    return ctl_fail(CTL_STORE, "%s", ctl_store_refusal(ctl, ctl->redis_name,
                                                       words, reply));
}


/*
 * Of an error only its first word is told: what follows repeats arguments,
 * or is whatever a server says.
 */

const char *
ctl_store_refusal(ctl_t *ctl, const char *name, const ctl_words_t *words,
    const redisReply *reply)
{
    char         code[CTL_STORE_CODE];
    size_t       len;
    const char  *subject, *verb;

    verb = words->argv[0];
    subject = "";

    /* a key, if there is one: of a script, its first */

    if (strcmp(verb, "EVAL") == 0) {
        subject = words->argv[3];

    } else if (words->argc > 1 && strcmp(verb, "AUTH") != 0) {
        subject = words->argv[1];
    }

    if (reply->type != REDIS_REPLY_ERROR) {
        return ctl_format(ctl, "Redis at %s answers %s%s%s with something "
                          "that is no such answer", name, verb,
                          *subject ? " " : "", subject);
    }

    len = strspn(reply->str, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

    if (len == 0 || len >= sizeof(code)) {
        memcpy(code, "ERR", sizeof("ERR"));

    } else {
        memcpy(code, reply->str, len);
        code[len] = '\0';
    }

    return ctl_format(ctl, "Redis at %s refuses %s%s%s: %s%s", name, verb,
                      *subject ? " " : "", subject, code,
                      ctl_store_hint(code));
}


static const char *
ctl_store_hint(const char *code)
{
    unsigned  i;

    static const struct {
        const char  *code;
        const char  *hint;
    } hints[] = {
        { "LOADING", " (it still loads its data: try again)" },
        { "MISCONF", " (it cannot write to its disk)" },
        { "NOAUTH", " (it wants a password: --redis-password-file FILE)" },
        { "NOPERM", " (this user of Redis may not do that)" },
        { "OOM", " (its memory is full)" },
        { "PINAUD", " (what this key holds is damaged)" },
        { "READONLY", " (it is a replica)" },
        { "WRONGPASS", " (no such user and password)" },
        { "WRONGTYPE", " (the key holds something else)" },
    };

    for (i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (strcmp(hints[i].code, code) == 0) {
            return hints[i].hint;
        }
    }

    return "";
}


int
ctl_store_lost(ctl_t *ctl)
{
    return ctl_fail(CTL_STORE, "Redis at %s: %s", ctl->redis_name,
                    ctl->store->link->error);
}


int
ctl_store_time(ctl_t *ctl, uint64_t *now)
{
    int  rc;

    rc = ctl_store_time_ms(ctl, now);
    *now /= 1000;

    return rc;
}


int
ctl_store_time_ms(ctl_t *ctl, uint64_t *now)
{
    redisReply   *reply;
    ctl_words_t  *words;

    *now = 0;

    words = ctl_words(ctl, "TIME", NULL);
    reply = ctl_ask(ctl, words, REDIS_REPLY_ARRAY);

    if (reply == NULL) {
        return CTL_STORE;
    }

    if (reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        return ctl_store_refused(ctl, words, reply);
    }

    *now = strtoull(reply->element[0]->str, NULL, 10) * 1000
           + strtoull(reply->element[1]->str, NULL, 10) / 1000;

    return CTL_DONE;
}
