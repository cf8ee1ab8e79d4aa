
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * All records of a kind, by the sets that name them.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl.h"
#include "ctl_store.h"


static int ctl_text_compare(const void *one, const void *two);


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

    if (watch && ctl_watch_keys(ctl, keys, found) != CTL_DONE) {
        return CTL_STORE;
    }

    rc = ctl_ahead(ctl, keys, found);

    for (i = 0; rc == CTL_DONE && i < found; i++) {
        rc = ctl_credential_read(ctl, names[i], &(*all)[*n]);
        *n += (*all)[*n].exists;
    }

    ctl_ahead_end(ctl);

    return rc;
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

    if (watch && ctl_watch_keys(ctl, keys, found) != CTL_DONE) {
        return CTL_STORE;
    }

    rc = ctl_ahead(ctl, keys, found);

    for (i = 0; rc == CTL_DONE && i < found; i++) {
        rc = ctl_account_read(ctl, ids[i], &(*all)[*n]);
        *n += (*all)[*n].exists;
    }

    ctl_ahead_end(ctl);

    return rc;
}


static int
ctl_text_compare(const void *one, const void *two)
{
    return strcmp(*(const char *const *) one, *(const char *const *) two);
}
