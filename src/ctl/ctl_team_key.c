
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl team key": what a team calls with. Redis holds a key's SHA-256
 * and its first characters, and never the key.
 */


#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>
#include "ctl.h"
#include "pinaud_team_key.h"


#define CTL_HEX_MIN  8                 /* digits that revoke takes */


/* A key that is to be made; the record is what Redis gets. */

typedef struct {
    const char        *team;
    const char        *prefix;
    const char        *hex;
    const char        *mac;
    const char        *created;
} ctl_new_key_t;


static int ctl_team_key_create(ctl_t *ctl);
static int ctl_team_key_list(ctl_t *ctl);
static int ctl_team_key_revoke(ctl_t *ctl);

static int ctl_new_key(ctl_t *ctl, char *key, ctl_new_key_t *new_key);
static int ctl_new_key_mac(ctl_t *ctl, ctl_new_key_t *new_key);
static int ctl_team_key_create_plan(ctl_t *ctl, void *data);
static int ctl_team_key_show(ctl_t *ctl, const char *key, uint64_t now,
    const ctl_new_key_t *new_key);
static int ctl_team_key_revoke_plan(ctl_t *ctl, void *data);
static int ctl_team_key_is(const ctl_team_key_t *key, const char *prefix);


const ctl_command_t  ctl_team_key_commands[] = {

    { .noun = "team", .verb = "key create", .args = "NAME",
      .min = 1, .max = 1, .handler = ctl_team_key_create,
      .summary = "Make a key for a team, and print it",
      .details =
"The key is printed on stdout, this once: Redis holds no more than its\n"
"SHA-256. A team may have many, so that a new one is there before the old one\n"
"is revoked. What a team may do is told by \"pinaudctl team put\"." },

    { .noun = "team", .verb = "key list", .args = "[NAME]", .max = 1,
      .handler = ctl_team_key_list,
      .summary = "List all keys, or a team's",
      .details =
"By their first characters. With a seal key file, whether it confirms that\n"
"the key is this team's is checked." },

    { .noun = "team", .verb = "key revoke", .args = "PREFIX",
      .min = 1, .max = 1, .handler = ctl_team_key_revoke,
      .summary = "Delete a key, by what list shows of it",
      .details =
"No gateway takes it any more after 5 seconds. PREFIX is the key's first\n"
"characters, as many as it takes to be the only one, or the first digits of\n"
"its SHA-256, at least 8." },

    { .noun = NULL }
};


static int
ctl_team_key_create(ctl_t *ctl)
{
    int            rc;
    char           key[PINAUD_TEAM_KEY_LEN + 1];
    uint64_t       now;
    ctl_new_key_t  new_key;

    rc = ctl_check_name("team", ctl->args[0]);

    if (rc == CTL_DONE) {
        rc = ctl_new_key(ctl, key, &new_key);
    }

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_store_time(ctl, &now);
    }

    if (rc == CTL_DONE) {
        new_key.created = ctl_number(ctl, now);
        rc = ctl_transact(ctl, ctl_team_key_create_plan, &new_key);
    }

    if (rc == CTL_DONE) {
        rc = ctl_team_key_show(ctl, key, now, &new_key);
    }

    OPENSSL_cleanse(key, sizeof(key));

    return rc;
}


static int
ctl_new_key(ctl_t *ctl, char *key, ctl_new_key_t *new_key)
{
    int               failed;
    char             *hex;
    unsigned char     hash[PINAUD_TEAM_KEY_HASH];
    pinaud_hasher_t  *hasher;

    memset(key, 0, PINAUD_TEAM_KEY_LEN + 1);

    hasher = pinaud_hasher_create();

    failed = (hasher == NULL
              || pinaud_team_key_make(key) != 0
              || pinaud_team_key_hash(hasher, (unsigned char *) key,
                                      PINAUD_TEAM_KEY_LEN, hash)
                 != 0);

    pinaud_hasher_free(hasher);

    if (failed) {
        return ctl_fail(CTL_REFUSED, "libcrypto has no random bytes, or "
                        "no SHA-256");
    }

    hex = ctl_alloc(ctl, PINAUD_TEAM_KEY_HEX + 1);
    pinaud_team_key_hex(hash, hex);

    new_key->team = ctl->args[0];
    new_key->prefix = ctl_copy(ctl, key, PINAUD_TEAM_KEY_PREFIX);
    new_key->hex = hex;

    return ctl_new_key_mac(ctl, new_key);
}


static int
ctl_new_key_mac(ctl_t *ctl, ctl_new_key_t *new_key)
{
    int                rc;
    char              *mac;
    size_t             len;
    pinaud_keyring_t  *ring;

    rc = ctl_keyring_master(ctl, &ring);

    if (rc != CTL_DONE) {
        return rc;
    }

    mac = ctl_alloc(ctl, PINAUD_MAC_MAX);
    len = pinaud_team_key_mac(ring, new_key->hex, new_key->team,
                              strlen(new_key->team), mac);
    new_key->mac = mac;

    pinaud_keyring_free(ring);

    return len ? CTL_DONE
               : ctl_fail(CTL_REFUSED, "libcrypto can't authenticate");
}


static int
ctl_team_key_create_plan(ctl_t *ctl, void *data)
{
    ctl_new_key_t  *new_key = data;

    ctl_queue(ctl, ctl_words(ctl, "SADD", PINAUD_KEY_TEAM_KEYS, new_key->hex,
                             NULL));

    ctl_queue(ctl, ctl_words(ctl, "HSET",
                             ctl_key(ctl, pinaud_key_team_key, new_key->hex),
                             "format", PINAUD_RECORD_FORMAT,
                             "team", new_key->team,
                             "prefix", new_key->prefix,
                             "created", new_key->created,
                             "mac", new_key->mac, NULL));

    return CTL_DONE;
}


/* The key leaves past stdio and jansson, which would keep copies. */

static int
ctl_team_key_show(ctl_t *ctl, const char *key, uint64_t now,
    const ctl_new_key_t *new_key)
{
    int   len, rc;
    char  text[512];

    if (ctl->json) {
        len = snprintf(text, sizeof(text), "{\n  \"team\": \"%s\",\n"
                       "  \"key\": \"%s\",\n  \"prefix\": \"%s\",\n"
                       "  \"created\": \"%s\"\n}\n", new_key->team, key,
                       new_key->prefix, ctl_time(ctl, now));

    } else {
        len = snprintf(text, sizeof(text), "%s\n", key);
    }

    rc = ctl_print_secret(text, (size_t) len);

    OPENSSL_cleanse(text, sizeof(text));

    if (rc != CTL_DONE) {
        return ctl_fail(rc, "the key was made and can't be shown again: "
                        "\"pinaudctl team key revoke %s\"", new_key->prefix);
    }

    if (!ctl->json) {
        fprintf(stderr, "This key of team %s is shown this once; it is "
                "listed as %s.\n", new_key->team, new_key->prefix);
    }

    return CTL_DONE;
}


static int
ctl_team_key_list(ctl_t *ctl)
{
    int                rc;
    json_t            *array;
    unsigned           i, n;
    const char        *created, *state, *team;
    ctl_table_t       *table;
    ctl_team_key_t    *keys;
    pinaud_keyring_t  *ring;

    team = ctl->nargs ? ctl->args[0] : NULL;
    rc = team ? ctl_check_name("team", team) : CTL_DONE;

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_team_keys_read(ctl, team, &keys, &n);
    }

    if (rc == CTL_DONE) {
        rc = ctl_keyring(ctl, 0, &ring);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    array = json_array();
    table = ctl_table(ctl, "KEY", "TEAM", "CREATED", "STATE", NULL);

    for (i = 0; i < n; i++) {
        state = ctl_team_key_state(ring, &keys[i]);
        created = ctl_time(ctl, keys[i].created);

        ctl_row(table, keys[i].prefix, keys[i].team, created, state);
        ctl_json_append(array,
            json_pack("{s:s, s:s, s:s, s:s, s:s}", "prefix", keys[i].prefix,
                      "team", keys[i].team, "created", created, "state",
                      state, "sha256", keys[i].hex));
    }

    pinaud_keyring_free(ring);
    ctl_print(ctl, table, array);

    return CTL_DONE;
}


static int
ctl_team_key_revoke(ctl_t *ctl)
{
    int          rc;
    size_t       len;
    const char  *prefix;

    prefix = ctl->args[0];
    len = strlen(prefix);

    if (!pinaud_team_key_is_prefix(prefix, len)
        && (len < CTL_HEX_MIN || strspn(prefix, "0123456789abcdef") != len))
    {
        /* which is not repeated: it can be a whole key */

        return ctl_fail(CTL_USAGE, "PREFIX is at most the first %d characters "
                        "of a key, as \"pinaudctl team key list\" shows it",
                        PINAUD_TEAM_KEY_PREFIX);
    }

    rc = ctl_store_open(ctl);

    if (rc == CTL_DONE) {
        rc = ctl_transact(ctl, ctl_team_key_revoke_plan, NULL);
    }

    if (rc == CTL_DONE) {
        ctl_report(ctl, 0);
    }

    return rc;
}


static int
ctl_team_key_revoke_plan(ctl_t *ctl, void *data)
{
    int              rc;
    unsigned         found, i, n;
    const char      *prefix, **names;
    ctl_change_t    *change;
    ctl_team_key_t  *key, *keys;

    (void) data;

    prefix = ctl->args[0];
    rc = ctl_watch(ctl, PINAUD_KEY_TEAM_KEYS);

    if (rc == CTL_DONE) {
        rc = ctl_team_keys_read(ctl, NULL, &keys, &n);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    key = NULL;
    found = 0;
    names = ctl_alloc(ctl, sizeof(char *) * (n + 1));

    for (i = 0; i < n; i++) {
        if (ctl_team_key_is(&keys[i], prefix)) {
            key = &keys[i];
            names[found++] = ctl_format(ctl, "%s of team %s (SHA-256 %.16s)",
                                        key->prefix, key->team, key->hex);
        }
    }

    if (found == 0) {
        return ctl_fail(CTL_REFUSED, "there is no key %s", prefix);
    }

    if (found > 1) {
        return ctl_fail(CTL_REFUSED, "%s may be any of %u keys: %s", prefix,
                        found, ctl_some(ctl, names, found));
    }

    ctl_queue(ctl, ctl_words(ctl, "DEL",
                             ctl_key(ctl, pinaud_key_team_key, key->hex),
                             NULL));
    ctl_queue(ctl, ctl_words(ctl, "SREM", PINAUD_KEY_TEAM_KEYS, key->hex,
                             NULL));

    change = ctl_change(ctl, "team key", key->prefix, NULL, "deleted");
    ctl_change_field(ctl, change, "team", key->team, NULL);

    return CTL_DONE;
}


static int
ctl_team_key_is(const ctl_team_key_t *key, const char *prefix)
{
    size_t  len;

    len = strlen(prefix);

    return strncmp(key->prefix, prefix, len) == 0
           || strncmp(key->hex, prefix, len) == 0;
}
