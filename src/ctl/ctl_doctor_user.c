
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl doctor": who we are to Redis, and what we may do there.
 */


#include <string.h>
#include <arpa/inet.h>
#include "ctl_doctor.h"
#include "ctl_store.h"


#define CTL_DOCTOR_NOBODY  "doctor"    /* keys of this name are not there */


static void ctl_doctor_default(ctl_doctor_t *doctor);
static int ctl_doctor_default_open(const ctl_t *ctl);
static int ctl_doctor_here(const pinaud_url_t *url);
static void ctl_doctor_rights(ctl_doctor_t *doctor);
static int ctl_doctor_refused(ctl_doctor_t *doctor, const char **names,
    unsigned *n);
static int ctl_doctor_dry(ctl_doctor_t *doctor, ctl_words_t *words,
    int *refused);


void
ctl_doctor_user(ctl_doctor_t *doctor)
{
    ctl_doctor_default(doctor);
    ctl_doctor_rights(doctor);
}


/* Whether somebody who tells neither name nor password is let in. */

static void
ctl_doctor_default(ctl_doctor_t *doctor)
{
    int                   rc;
    const char           *cure;
    const pinaud_url_t   *url;

    url = &doctor->ctl->store->link->url;
    cure = "conf/redis-acl.conf, which switches the default user off";
    rc = ctl_doctor_default_open(doctor->ctl);

    if (rc < 0) {
        ctl_finding(doctor, "redis users", CTL_GRADE_WARNING, NULL,
                    "whether Redis lets in who tells no password is not "
                    "known: no other connection was to be had");

    } else if (rc > 0) {
        ctl_finding(doctor, "redis users", ctl_doctor_here(url)
                    ? CTL_GRADE_WARNING : CTL_GRADE_PROBLEM, cure,
                    "Redis lets in who tells no password, and who reaches it "
                    "may do everything");

    } else if (url->user[0] == '\0' || strcmp(url->user, "default") == 0) {
        ctl_finding(doctor, "redis users", CTL_GRADE_WARNING, cure,
                    "the default user, who may do everything, by a password");

    } else {
        ctl_finding(doctor, "redis users", CTL_GRADE_OK, NULL,
                    "user %s, nobody without a password", url->user);
    }
}


/* 1, 0; or -1 where it can't be told. */

static int
ctl_doctor_default_open(const ctl_t *ctl)
{
    int                 rc;
    redisReply         *reply;
    ctl_link_t          link;
    const char         *words[] = { "PING" };
    const size_t        lens[] = { sizeof("PING") - 1 };
    const ctl_store_t  *store;

    store = ctl->store;
    rc = ctl_link_open(&link, &store->link->url, store->link->tls);
    reply = NULL;

    if (rc == 0 && ctl_link_send(&link, 1, words, lens) == 0) {
        reply = ctl_link_receive(&link);
    }

    rc = -1;

    if (reply != NULL) {
        rc = (reply->type != REDIS_REPLY_ERROR);
        freeReplyObject(reply);
    }

    ctl_link_close(&link);

    return rc;
}


/* Whether only this machine gets there, as far as the URL tells. */

static int
ctl_doctor_here(const pinaud_url_t *url)
{
    unsigned char  address[4];

    return url->unix_socket || strcmp(url->host, "localhost") == 0
           || strcmp(url->host, "::1") == 0
           || (inet_pton(AF_INET, url->host, address) == 1
               && address[0] == 127);
}


static void
ctl_doctor_rights(ctl_doctor_t *doctor)
{
    int           rc;
    unsigned      n;
    const char   *heard, *names[32];

    n = 0;

    ctl_doctor_listen(doctor);
    rc = ctl_doctor_refused(doctor, names, &n);
    heard = ctl_doctor_heard(doctor);

    if (rc != CTL_DONE) {
        ctl_finding(doctor, "redis rights", CTL_GRADE_WARNING,
                    "let this user have MULTI and DISCARD: "
                    "conf/redis-acl.conf", "not looked at: %s", heard);

    } else if (n != 0) {
        ctl_finding(doctor, "redis rights", CTL_GRADE_PROBLEM,
                    "the operator's user of conf/redis-acl.conf",
                    "this user may not: %s",
                    ctl_some(doctor->ctl, names, n));

    } else {
        ctl_finding(doctor, "redis rights", CTL_GRADE_OK, NULL,
                    "all that pinaudctl does");
    }
}


/*
 * Redis checks rights when it queues a command of a transaction, and what is
 * then discarded is never done. A node of a cluster checks them before it tells
 * that another has the key.
 */

static int
ctl_doctor_refused(ctl_doctor_t *doctor, const char **names, unsigned *n)
{
    int           rc, refused;
    ctl_t        *ctl;
    unsigned      i;
    const char   *key;
    ctl_words_t  *words;

    static const struct {
        const char  *verb;
        size_t     (*key)(char *to, const char *name, size_t len);
        const char  *name;             /* NULL: the key's own, above */
        const char  *more[2];
    } commands[] = {
        { "HGETALL", pinaud_key_credential, "credential", { NULL } },
        { "HSET", pinaud_key_credential, "credential", { "a", "b" } },
        { "HDEL", pinaud_key_credential, "credential", { "a" } },
        { "DEL", pinaud_key_credential, "credential", { NULL } },
        { "HGETALL", pinaud_key_secret, "secret", { NULL } },
        { "HSET", pinaud_key_secret, "secret", { "a", "b" } },
        { "HDEL", pinaud_key_secret, "secret", { "a" } },
        { "DEL", pinaud_key_secret, "secret", { NULL } },
        { "HGETALL", pinaud_key_account, "account", { NULL } },
        { "HSET", pinaud_key_account, "account", { "a", "b" } },
        { "HDEL", pinaud_key_account, "account", { "a" } },
        { "DEL", pinaud_key_account, "account", { NULL } },
        { "SADD", pinaud_key_credential_accounts, "accounts", { "a" } },
        { "SREM", pinaud_key_credential_accounts, "accounts", { "a" } },
        { "SMEMBERS", pinaud_key_credential_accounts, "accounts", { NULL } },
        { "HGETALL", pinaud_key_cooldown, "cooldown", { NULL } },
        { "DEL", pinaud_key_cooldown, "cooldown", { NULL } },
        { "GET", pinaud_key_writes, "writes", { NULL } },
    };

    ctl = doctor->ctl;

    if (ctl_ask(ctl, ctl_words(ctl, "MULTI", NULL), REDIS_REPLY_STATUS)
        == NULL)
    {
        return CTL_STORE;
    }

    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        key = ctl_key(ctl, commands[i].key, CTL_DOCTOR_NOBODY);
        words = ctl_words(ctl, commands[i].verb, key, commands[i].more[0],
                          NULL);

        if (commands[i].more[1]) {
            ctl_word(ctl, words, commands[i].more[1]);
        }

        rc = ctl_doctor_dry(doctor, words, &refused);

        if (rc != CTL_DONE) {
            return rc;
        }

        if (refused) {
            names[(*n)++] = ctl_format(ctl, "%s pinaud:%s:*",
                                       commands[i].verb, commands[i].name);
        }
    }

    return ctl_ask(ctl, ctl_words(ctl, "DISCARD", NULL), REDIS_REPLY_STATUS)
           ? CTL_DONE : CTL_STORE;
}


static int
ctl_doctor_dry(ctl_doctor_t *doctor, ctl_words_t *words, int *refused)
{
    redisReply  *reply;

    if (ctl_store_send(doctor->ctl, words) != CTL_DONE) {
        return CTL_STORE;
    }

    reply = ctl_store_receive(doctor->ctl);

    if (reply == NULL) {
        return CTL_STORE;
    }

    *refused = (reply->type == REDIS_REPLY_ERROR
                && strncmp(reply->str, "NOPERM", 6) == 0);

    return CTL_DONE;
}
