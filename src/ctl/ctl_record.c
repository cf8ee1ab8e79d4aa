
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Records as Redis holds them: docs/redis.md tells of each.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl_record.h"
#include "ctl_store.h"


static int ctl_record_format(const char *key, const redisReply *hash);
static const char *ctl_record_shown(ctl_t *ctl, const redisReply *hash,
    const char *name);
static int ctl_record_digits(const char *text, uint64_t *value);
static int ctl_record_state(const char *key, const redisReply *hash,
    ctl_state_e *state);
static const unsigned char *ctl_record_bytes(const redisReply *hash,
    const char *name, size_t *len);


int
ctl_credential_read(ctl_t *ctl, const char *name,
    ctl_credential_t *credential)
{
    int          rc;
    const char  *key;
    redisReply  *hash;

    memset(credential, 0, sizeof(ctl_credential_t));
    credential->name = name;

    key = ctl_key(ctl, pinaud_key_credential, name);
    rc = ctl_record_hash(ctl, key, &hash);

    if (rc != CTL_DONE || hash == NULL) {
        return rc;
    }

    credential->exists = 1;
    credential->tier = ctl_record_text(hash, "tier");
    credential->scope = ctl_record_shown(ctl, hash, "scope");

    if (credential->tier == NULL
        || (strcmp(credential->tier, "custom") != 0
            && !ctl_limits_tier(credential->tier, &credential->limits,
                                &credential->limits_all)))
    {
        return ctl_record_bad(key, "tier");
    }

    credential->reason = ctl_record_shown(ctl, hash, "reason");
    credential->token = ctl_record_bytes(hash, "token",
                                         &credential->token_len);

    if (ctl_record_number(key, hash, "version", &credential->version)
        || ctl_record_number(key, hash, "expires", &credential->expires)
        || ctl_record_number(key, hash, "refresh_expires",
                             &credential->refresh_expires)
        || ctl_record_limits(key, hash, "limits", &credential->limits)
        || ctl_record_limits(key, hash, "limits_all",
                             &credential->limits_all)
        || ctl_record_state(key, hash, &credential->state))
    {
        return CTL_STORE;
    }

    return CTL_DONE;
}


int
ctl_credential_version_read(ctl_t *ctl, ctl_credential_t *credential)
{
    const char  *key;
    redisReply  *reply;

    if (credential->exists) {
        return CTL_DONE;
    }

    key = ctl_key(ctl, pinaud_key_version, credential->name);
    reply = ctl_ask(ctl, ctl_words(ctl, "GET", key, NULL), CTL_ANY);

    if (reply == NULL) {
        return CTL_STORE;
    }

    if (reply->type == REDIS_REPLY_NIL) {
        return CTL_DONE;
    }

    if (reply->type != REDIS_REPLY_STRING) {
        return ctl_record_bad(key, "type");
    }

    return ctl_record_digits(reply->str, &credential->version) == 0
           ? CTL_DONE : ctl_record_bad(key, "version");
}


int
ctl_secret_record_read(ctl_t *ctl, const char *name, ctl_secret_t *secret)
{
    int          rc;
    const char  *key;
    redisReply  *hash;

    memset(secret, 0, sizeof(ctl_secret_t));

    key = ctl_key(ctl, pinaud_key_secret, name);
    rc = ctl_record_hash(ctl, key, &hash);

    if (rc != CTL_DONE || hash == NULL) {
        return rc;
    }

    secret->exists = 1;
    secret->client_id = ctl_record_shown(ctl, hash, "client_id");
    secret->sealed_client = ctl_record_bytes(hash, "client_secret",
                                             &secret->sealed_client_len);
    secret->client_secret = (secret->sealed_client != NULL);
    secret->sealed_refresh = ctl_record_bytes(hash, "refresh",
                                              &secret->sealed_refresh_len);
    secret->refresh = (secret->sealed_refresh != NULL);
    secret->attempt = ctl_record_shown(ctl, hash, "attempt");

    if (ctl_record_number(key, hash, "refresh_version",
                          &secret->refresh_version)
        || ctl_record_number(key, hash, "refresh_expires",
                             &secret->refresh_expires)
        || ctl_record_number(key, hash, "failures", &secret->failures)
        || ctl_record_number(key, hash, "failed", &secret->failed)
        || ctl_record_number(key, hash, "refreshed", &secret->refreshed)
        || ctl_record_number(key, hash, "demands", &secret->demands))
    {
        return CTL_STORE;
    }

    return CTL_DONE;
}


const char *
ctl_key(ctl_t *ctl, size_t (*make)(char *to, const char *name, size_t len),
    const char *name)
{
    char    key[PINAUD_KEY_MAX];
    size_t  len;

    len = make(key, name, strlen(name));

    return ctl_copy(ctl, key, len);
}


int
ctl_record_hash(ctl_t *ctl, const char *key, redisReply **hash)
{
    int  rc;

    rc = ctl_record_fields(ctl, key, hash);

    return (rc == CTL_DONE && *hash) ? ctl_record_format(key, *hash) : rc;
}


int
ctl_record_fields(ctl_t *ctl, const char *key, redisReply **hash)
{
    size_t        i;
    redisReply   *reply;
    ctl_words_t  *words;

    *hash = NULL;

    reply = ctl_ahead_take(ctl, key);

    if (reply == NULL) {
        words = ctl_words(ctl, "HGETALL", key, NULL);
        reply = ctl_ask(ctl, words, REDIS_REPLY_ARRAY);
    }

    if (reply == NULL) {
        return CTL_STORE;
    }

    if (reply->elements == 0) {
        return CTL_DONE;
    }

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            return ctl_record_bad(key, "form");
        }
    }

    *hash = reply;

    return CTL_DONE;
}


static int
ctl_record_format(const char *key, const redisReply *hash)
{
    const char  *format;

    format = ctl_record_text(hash, "format");

    if (format != NULL && strcmp(format, PINAUD_RECORD_FORMAT) == 0) {
        return CTL_DONE;
    }

    return ctl_fail(CTL_STORE, "%s is of a format that this version does not "
                    "know: is there a newer pinaudctl?", key);
}


const redisReply *
ctl_record_field(const redisReply *hash, const char *name)
{
    size_t  i;

    for (i = 0; i + 1 < hash->elements; i += 2) {
        if (strcmp(hash->element[i]->str, name) == 0) {
            return hash->element[i + 1];
        }
    }

    return NULL;
}


static const unsigned char *
ctl_record_bytes(const redisReply *hash, const char *name, size_t *len)
{
    const redisReply  *field;

    field = ctl_record_field(hash, name);

    if (field == NULL || field->len == 0) {
        *len = 0;
        return NULL;
    }

    *len = (size_t) field->len;

    return (const unsigned char *) field->str;
}


const char *
ctl_record_text(const redisReply *hash, const char *name)
{
    const redisReply  *field;

    field = ctl_record_field(hash, name);

    return (field && field->len > 0) ? field->str : NULL;
}


/* The same of what is only shown: nothing in it is for a terminal to obey. */

static const char *
ctl_record_shown(ctl_t *ctl, const redisReply *hash, const char *name)
{
    char        *copy, *p;
    const char  *text;

    text = ctl_record_text(hash, name);

    if (text == NULL) {
        return NULL;
    }

    copy = ctl_copy(ctl, text, strlen(text));

    for (p = copy; *p; p++) {
        if (*p < 0x20 || *p > 0x7e) {
            *p = '?';
        }
    }

    return copy;
}


int
ctl_record_number(const char *key, const redisReply *hash, const char *name,
    uint64_t *value)
{
    const char  *text;

    *value = 0;
    text = ctl_record_text(hash, name);

    if (text == NULL) {
        return CTL_DONE;
    }

    return ctl_record_digits(text, value) == 0 ? CTL_DONE
                                               : ctl_record_bad(key, name);
}


static int
ctl_record_digits(const char *text, uint64_t *value)
{
    if (strlen(text) > 18 || strspn(text, "0123456789") != strlen(text)) {
        return -1;
    }

    *value = strtoull(text, NULL, 10);

    return 0;
}


int
ctl_record_limits(const char *key, const redisReply *hash, const char *name,
    pinaud_limits_t *limits)
{
    const redisReply  *field;

    limits->count = 0;
    field = ctl_record_field(hash, name);

    if (field != NULL
        && pinaud_limits_read(limits, field->str, (size_t) field->len) != 0)
    {
        return ctl_record_bad(key, name);
    }

    return CTL_DONE;
}


static int
ctl_record_state(const char *key, const redisReply *hash, ctl_state_e *state)
{
    unsigned     i;
    const char  *text;

    *state = CTL_STATE_OK;
    text = ctl_record_text(hash, "state");

    if (text == NULL) {
        return CTL_DONE;
    }

    for (i = CTL_STATE_OK; i <= CTL_STATE_WRONG_CLIENT; i++) {
        if (strcmp(ctl_state_name((ctl_state_e) i), text) == 0) {
            *state = (ctl_state_e) i;
            return CTL_DONE;
        }
    }

    return ctl_record_bad(key, "state");
}


const char *
ctl_state_name(ctl_state_e state)
{
    static const char  *const names[] = {
        "ok", "retrying", "needs-authorization", "wrong-client"
    };

    return names[state];
}


int
ctl_record_bad(const char *key, const char *name)
{
    return ctl_fail(CTL_STORE, "%s holds something else than it should: its "
                    "%s", key, name);
}
