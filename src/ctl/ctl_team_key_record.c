
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The records of team keys, as Redis holds them.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl_record.h"
#include "ctl_store.h"
#include "pinaud_team_key.h"


static int ctl_team_key_read(ctl_t *ctl, const char *hex,
    ctl_team_key_t *key);
static const char *ctl_team_key_field(const redisReply *hash,
    const char *name, size_t *len);
static int ctl_team_key_compare(const void *one, const void *two);


int
ctl_team_keys_read(ctl_t *ctl, const char *team, ctl_team_key_t **keys,
    unsigned *n)
{
    int              rc;
    unsigned         i, found;
    const char     **hashes, **records;
    ctl_team_key_t  *key;

    rc = ctl_members(ctl, PINAUD_KEY_TEAM_KEYS, pinaud_team_key_is_hex,
                     &hashes, &found);

    if (rc != CTL_DONE) {
        return rc;
    }

    *keys = ctl_alloc(ctl, sizeof(ctl_team_key_t) * (found + 1));
    *n = 0;

    records = ctl_alloc(ctl, sizeof(char *) * (found + 1));

    for (i = 0; i < found; i++) {
        records[i] = ctl_key(ctl, pinaud_key_team_key, hashes[i]);
    }

    rc = ctl_ahead(ctl, records, found);

    for (i = 0; rc == CTL_DONE && i < found; i++) {
        key = &(*keys)[*n];
        rc = ctl_team_key_read(ctl, hashes[i], key);
        *n += (key->exists && (team == NULL || strcmp(key->team, team) == 0));
    }

    ctl_ahead_end(ctl);

    if (rc != CTL_DONE) {
        return rc;
    }

    qsort(*keys, *n, sizeof(ctl_team_key_t), ctl_team_key_compare);

    return CTL_DONE;
}


/* A damaged one is shown as it is, so that it can be revoked. */

static int
ctl_team_key_read(ctl_t *ctl, const char *hex, ctl_team_key_t *key)
{
    int          rc;
    size_t       len;
    const char  *text;
    redisReply  *hash;

    memset(key, 0, sizeof(ctl_team_key_t));

    rc = ctl_record_fields(ctl, ctl_key(ctl, pinaud_key_team_key, hex), &hash);

    if (rc != CTL_DONE || hash == NULL) {
        return rc;
    }

    key->hex = hex;
    key->prefix = ctl_copy(ctl, hex, PINAUD_TEAM_KEY_PREFIX);
    key->team = "-";
    key->mac = "";

    text = ctl_team_key_field(hash, "format", &len);
    key->exists = (text != NULL);
    key->damaged = (text == NULL || strcmp(text, PINAUD_RECORD_FORMAT) != 0);

    text = ctl_team_key_field(hash, "team", &len);

    if (text && pinaud_is_name((const unsigned char *) text, len)) {
        key->team = text;

    } else {
        key->damaged = 1;
    }

    text = ctl_team_key_field(hash, "prefix", &len);

    if (text && pinaud_team_key_is_prefix(text, len)) {
        key->prefix = text;

    } else {
        key->damaged = 1;
    }

    text = ctl_team_key_field(hash, "created", &len);

    if (text && len < 12 && strspn(text, "0123456789") == len) {
        key->created = strtoull(text, NULL, 10);
    }

    text = ctl_team_key_field(hash, "mac", &len);

    if (text) {
        key->mac = text;
        key->mac_len = len;
    }

    return CTL_DONE;
}


static const char *
ctl_team_key_field(const redisReply *hash, const char *name, size_t *len)
{
    const redisReply  *field;

    field = ctl_record_field(hash, name);

    if (field == NULL) {
        return NULL;
    }

    *len = (size_t) field->len;

    return field->str;
}


/* By team, the oldest first. */

static int
ctl_team_key_compare(const void *one, const void *two)
{
    int                    rc;
    const ctl_team_key_t  *a = one;
    const ctl_team_key_t  *b = two;

    rc = strcmp(a->team, b->team);

    if (rc != 0) {
        return rc;
    }

    return (a->created > b->created) - (a->created < b->created);
}


const char *
ctl_team_keys_text(ctl_t *ctl, const char *team, const ctl_team_key_t *keys,
    unsigned n)
{
    unsigned      found, i;
    const char  **prefixes;

    prefixes = ctl_alloc(ctl, sizeof(char *) * (n + 1));
    found = 0;

    for (i = 0; i < n; i++) {
        if (strcmp(keys[i].team, team) == 0) {
            prefixes[found++] = keys[i].prefix;
        }
    }

    return found ? ctl_format(ctl, "team %s has %u key%s: %s", team, found,
                              found == 1 ? "" : "s",
                              ctl_some(ctl, prefixes, found))
                 : NULL;
}


const char *
ctl_team_key_state(pinaud_keyring_t *ring, const ctl_team_key_t *key)
{
    if (key->damaged) {
        return "damaged";
    }

    if (ring == NULL) {
        return "not checked";
    }

    switch (pinaud_team_key_mac_check(ring, key->hex, key->team,
                                      strlen(key->team), key->mac,
                                      key->mac_len))
    {
    case PINAUD_MAC_GOOD:
        return "ready";

    case PINAUD_MAC_UNKNOWN_KEY:
        return "unknown key";

    default:
        return "altered";
    }
}
