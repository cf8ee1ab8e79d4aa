
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Records as Redis holds them: docs/redis.md tells of each.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl.h"


static int ctl_record_hash(ctl_t *ctl, const char *key, redisReply **hash);
static int ctl_record_format(const char *key, const redisReply *hash);
static const redisReply *ctl_record_field(const redisReply *hash,
    const char *name);
static const char *ctl_record_text(const redisReply *hash, const char *name);
static int ctl_record_number(const char *key, const redisReply *hash,
    const char *name, uint64_t *value);
static int ctl_record_limits(const char *key, const redisReply *hash,
    const char *name, pinaud_limits_t *limits);
static int ctl_account_teams(ctl_t *ctl, const char *key,
    const redisReply *hash, ctl_account_t *account);
static int ctl_record_bad(const char *key, const char *name);
static int ctl_text_compare(const void *one, const void *two);
static int ctl_team_compare(const void *one, const void *two);
static int ctl_watch_all(ctl_t *ctl, const char **keys, unsigned n);


int
ctl_credential_read(ctl_t *ctl, const char *name,
    ctl_credential_t *credential)
{
    int                rc;
    const char        *key;
    redisReply        *hash;
    const redisReply  *token;

    memset(credential, 0, sizeof(ctl_credential_t));
    credential->name = name;

    key = ctl_key(ctl, pinaud_key_credential, name);
    rc = ctl_record_hash(ctl, key, &hash);

    if (rc != CTL_DONE || hash == NULL) {
        return rc;
    }

    credential->exists = 1;
    credential->tier = ctl_record_text(hash, "tier");
    credential->scope = ctl_record_text(hash, "scope");

    if (credential->tier == NULL) {
        return ctl_record_bad(key, "tier");
    }

    token = ctl_record_field(hash, "token");

    if (token != NULL && token->len > 0) {
        credential->token = (const unsigned char *) token->str;
        credential->token_len = (size_t) token->len;
    }

    if (ctl_record_number(key, hash, "version", &credential->version)
        || ctl_record_number(key, hash, "expires", &credential->expires)
        || ctl_record_limits(key, hash, "limits", &credential->limits)
        || ctl_record_limits(key, hash, "limits_all",
                             &credential->limits_all))
    {
        return CTL_STORE;
    }

    return CTL_DONE;
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
    secret->client_id = ctl_record_text(hash, "client_id");
    secret->client_secret = (ctl_record_field(hash, "client_secret") != NULL);
    secret->refresh = (ctl_record_field(hash, "refresh") != NULL);

    if (ctl_record_number(key, hash, "refresh_version",
                          &secret->refresh_version)
        || ctl_record_number(key, hash, "refresh_expires",
                             &secret->refresh_expires))
    {
        return CTL_STORE;
    }

    return CTL_DONE;
}


int
ctl_account_read(ctl_t *ctl, const char *id, ctl_account_t *account)
{
    int          rc;
    const char  *key;
    redisReply  *hash;

    memset(account, 0, sizeof(ctl_account_t));
    account->id = id;

    key = ctl_key(ctl, pinaud_key_account, id);
    rc = ctl_record_hash(ctl, key, &hash);

    if (rc != CTL_DONE || hash == NULL) {
        return rc;
    }

    account->exists = 1;
    account->credential = ctl_record_text(hash, "credential");

    if (account->credential == NULL
        || !pinaud_is_name((const unsigned char *) account->credential,
                           strlen(account->credential)))
    {
        return ctl_record_bad(key, "credential");
    }

    if (ctl_record_limits(key, hash, "limits", &account->limits)
        != CTL_DONE)
    {
        return CTL_STORE;
    }

    return ctl_account_teams(ctl, key, hash, account);
}


static int
ctl_account_teams(ctl_t *ctl, const char *key, const redisReply *hash,
    ctl_account_t *account)
{
    size_t       i;
    const char  *field;
    ctl_team_t  *team;

    account->teams = ctl_alloc(ctl, sizeof(ctl_team_t) * hash->elements);

    for (i = 0; i + 1 < hash->elements; i += 2) {
        field = hash->element[i]->str;

        if (strncmp(field, "team:", 5) != 0) {
            continue;
        }

        team = &account->teams[account->nteams++];
        team->name = field + 5;

        if (!pinaud_is_name((const unsigned char *) team->name,
                            (size_t) hash->element[i]->len - 5))
        {
            return ctl_fail(CTL_STORE, "%s has a team with a name that is "
                            "none", key);
        }

        if (ctl_record_limits(key, hash, field, &team->limits) != CTL_DONE) {
            return CTL_STORE;
        }
    }

    if (account->nteams) {
        qsort(account->teams, account->nteams, sizeof(ctl_team_t),
              ctl_team_compare);
    }

    return CTL_DONE;
}


int
ctl_members(ctl_t *ctl, const char *key,
    int (*check)(const unsigned char *text, size_t len),
    const char ***members, unsigned *n)
{
    size_t        i;
    redisReply   *reply, *member;
    ctl_words_t  *words;

    words = ctl_words(ctl, "SMEMBERS", key, NULL);
    reply = ctl_ask(ctl, words, REDIS_REPLY_ARRAY);

    if (reply == NULL) {
        return CTL_STORE;
    }

    *n = (unsigned) reply->elements;
    *members = ctl_alloc(ctl, sizeof(char *) * (reply->elements + 1));

    for (i = 0; i < reply->elements; i++) {
        member = reply->element[i];

        if (member->type != REDIS_REPLY_STRING
            || !check((unsigned char *) member->str, (size_t) member->len))
        {
            return ctl_fail(CTL_STORE, "%s has a member that is no name or "
                            "id", key);
        }

        (*members)[i] = member->str;
    }

    qsort(*members, *n, sizeof(char *), ctl_text_compare);

    return CTL_DONE;
}


int
ctl_credentials_read(ctl_t *ctl, int watch, ctl_credential_t **all,
    unsigned *n)
{
    int           rc;
    unsigned      i, found;
    const char  **keys, **names;

    if (watch && ctl_watch(ctl, PINAUD_KEY_CREDENTIALS) != CTL_DONE) {
        return CTL_STORE;
    }

    rc = ctl_members(ctl, PINAUD_KEY_CREDENTIALS, pinaud_is_name, &names,
                     &found);

    if (rc != CTL_DONE) {
        return rc;
    }

    *all = ctl_alloc(ctl, sizeof(ctl_credential_t) * (found + 1));
    *n = 0;

    keys = ctl_alloc(ctl, sizeof(char *) * (found + 1));

    for (i = 0; i < found; i++) {
        keys[i] = ctl_key(ctl, pinaud_key_credential, names[i]);
    }

    if (watch && ctl_watch_all(ctl, keys, found) != CTL_DONE) {
        return CTL_STORE;
    }

    for (i = 0; i < found; i++) {
        rc = ctl_credential_read(ctl, names[i], &(*all)[*n]);

        if (rc != CTL_DONE) {
            return rc;
        }

        *n += (*all)[*n].exists;
    }

    return CTL_DONE;
}


int
ctl_accounts_read(ctl_t *ctl, int watch, ctl_account_t **all, unsigned *n)
{
    int           rc;
    unsigned      i, found;
    const char  **ids, **keys;

    if (watch && ctl_watch(ctl, PINAUD_KEY_ACCOUNTS) != CTL_DONE) {
        return CTL_STORE;
    }

    rc = ctl_members(ctl, PINAUD_KEY_ACCOUNTS, pinaud_is_account, &ids,
                     &found);

    if (rc != CTL_DONE) {
        return rc;
    }

    *all = ctl_alloc(ctl, sizeof(ctl_account_t) * (found + 1));
    *n = 0;

    keys = ctl_alloc(ctl, sizeof(char *) * (found + 1));

    for (i = 0; i < found; i++) {
        keys[i] = ctl_key(ctl, pinaud_key_account, ids[i]);
    }

    if (watch && ctl_watch_all(ctl, keys, found) != CTL_DONE) {
        return CTL_STORE;
    }

    for (i = 0; i < found; i++) {
        rc = ctl_account_read(ctl, ids[i], &(*all)[*n]);

        if (rc != CTL_DONE) {
            return rc;
        }

        *n += (*all)[*n].exists;
    }

    return CTL_DONE;
}


static int
ctl_watch_all(ctl_t *ctl, const char **keys, unsigned n)
{
    unsigned      i;
    ctl_words_t  *words;

    if (n == 0) {
        return CTL_DONE;
    }

    words = ctl_words(ctl, "WATCH", NULL);

    for (i = 0; i < n; i++) {
        ctl_word(ctl, words, keys[i]);
    }

    return ctl_ask(ctl, words, REDIS_REPLY_STATUS) ? CTL_DONE : CTL_STORE;
}


ctl_team_t *
ctl_account_team(const ctl_account_t *account, const char *name)
{
    unsigned  i;

    for (i = 0; i < account->nteams; i++) {
        if (strcmp(account->teams[i].name, name) == 0) {
            return &account->teams[i];
        }
    }

    return NULL;
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


/* NULL where there is no such key. */

static int
ctl_record_hash(ctl_t *ctl, const char *key, redisReply **hash)
{
    size_t        i;
    redisReply   *reply;
    ctl_words_t  *words;

    *hash = NULL;

    words = ctl_words(ctl, "HGETALL", key, NULL);
    reply = ctl_ask(ctl, words, REDIS_REPLY_ARRAY);

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

    return ctl_record_format(key, reply);
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


static const redisReply *
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


static const char *
ctl_record_text(const redisReply *hash, const char *name)
{
    const redisReply  *field;

    field = ctl_record_field(hash, name);

    return (field && field->len > 0) ? field->str : NULL;
}


/* 0 where there is none. */

static int
ctl_record_number(const char *key, const redisReply *hash, const char *name,
    uint64_t *value)
{
    const char  *text;

    *value = 0;
    text = ctl_record_text(hash, name);

    if (text == NULL) {
        return CTL_DONE;
    }

    if (strlen(text) > 18 || strspn(text, "0123456789") != strlen(text)) {
        return ctl_record_bad(key, name);
    }

    *value = strtoull(text, NULL, 10);

    return CTL_DONE;
}


static int
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
ctl_record_bad(const char *key, const char *name)
{
    return ctl_fail(CTL_STORE, "%s holds something else than it should: its "
                    "%s", key, name);
}


static int
ctl_text_compare(const void *one, const void *two)
{
    return strcmp(*(const char *const *) one, *(const char *const *) two);
}


static int
ctl_team_compare(const void *one, const void *two)
{
    return strcmp(((const ctl_team_t *) one)->name,
                  ((const ctl_team_t *) two)->name);
}
