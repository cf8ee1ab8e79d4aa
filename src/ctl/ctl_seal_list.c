
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl seal-key list": which key sealed or signed how much.
 */


#include <string.h>
#include "ctl_seal.h"
#include "pinaud_mac.h"
#include "pinaud_team_key.h"


#define CTL_SEAL_DAMAGED  "(damaged)"  /* what is by no key */


static void ctl_seal_ring(ctl_t *ctl, pinaud_keyring_t *ring,
    ctl_seal_uses_t *uses);
static ctl_seal_use_t *ctl_seal_use(ctl_t *ctl, ctl_seal_uses_t *uses,
    const char *id, size_t len);
static void ctl_seal_add_mac(ctl_t *ctl, ctl_seal_uses_t *uses,
    const redisReply *mac);
static int ctl_seal_credentials(ctl_t *ctl, ctl_seal_uses_t *uses);
static int ctl_seal_accounts(ctl_t *ctl, ctl_seal_uses_t *uses);
static int ctl_seal_team_keys(ctl_t *ctl, ctl_seal_uses_t *uses);
static json_t *ctl_seal_json(const ctl_seal_uses_t *uses,
    const ctl_seal_use_t *use);


const ctl_option_t  ctl_seal_list_options[] = {
    { .name = "journal", .arg = "DIR",
      .help = "an agent's on this machine, to be looked into" },
    { .name = NULL }
};


int
ctl_seal_key_list(ctl_t *ctl)
{
    int               rc;
    json_t           *array;
    unsigned          i;
    const char       *journal;
    ctl_table_t      *table;
    ctl_seal_use_t   *use;
    ctl_seal_uses_t   uses;

    rc = ctl_mac_keys(ctl, 0);

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_seal_uses(ctl, ctl->ring, &uses);
    }

    journal = ctl_given(ctl, "journal");

    if (rc == CTL_DONE && journal != NULL) {
        rc = ctl_seal_journal(ctl, journal, &uses);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    array = json_array();
    table = ctl_table(ctl, "KEY", "IN FILE", "ACCESS", "REFRESH",
                      "CLIENT SECRET", "MAC", "JOURNAL", NULL);

    for (i = 0; i < uses.count; i++) {
        use = &uses.keys[i];

        ctl_row(table, use->id,
                use->file ? use->file : ctl->ring ? "no" : NULL,
                ctl_number(ctl, use->count[CTL_SEAL_ACCESS]),
                ctl_number(ctl, use->count[CTL_SEAL_REFRESH]),
                ctl_number(ctl, use->count[CTL_SEAL_CLIENT]),
                ctl_number(ctl, use->count[CTL_SEAL_MAC]),
                uses.journal ? ctl_number(ctl, use->count[CTL_SEAL_JOURNAL])
                             : NULL);
        ctl_json_append(array, ctl_seal_json(&uses, use));
    }

    ctl_print(ctl, table, array);

    return CTL_DONE;
}


int
ctl_seal_uses(ctl_t *ctl, pinaud_keyring_t *ring, ctl_seal_uses_t *uses)
{
    int  rc;

    memset(uses, 0, sizeof(ctl_seal_uses_t));

    if (ring != NULL) {
        ctl_seal_ring(ctl, ring, uses);
    }

    rc = ctl_seal_credentials(ctl, uses);

    if (rc == CTL_DONE) {
        rc = ctl_seal_accounts(ctl, uses);
    }

    if (rc == CTL_DONE) {
        rc = ctl_seal_team_keys(ctl, uses);
    }

    return rc;
}


static void
ctl_seal_ring(ctl_t *ctl, pinaud_keyring_t *ring, ctl_seal_uses_t *uses)
{
    size_t       len;
    unsigned     i;
    const char  *id;

    for (i = 0; ; i++) {
        id = pinaud_keyring_id(ring, i, &len);

        if (id == NULL) {
            return;
        }

        ctl_seal_use(ctl, uses, id, len)->file = i ? "yes" : "first";
    }
}


static ctl_seal_use_t *
ctl_seal_use(ctl_t *ctl, ctl_seal_uses_t *uses, const char *id, size_t len)
{
    unsigned         i;
    ctl_seal_use_t  *keys, *use;

    for (i = 0; i < uses->count; i++) {
        use = &uses->keys[i];

        if (strlen(use->id) == len && memcmp(use->id, id, len) == 0) {
            return use;
        }
    }

    if (uses->count == uses->room) {
        uses->room = uses->room * 2 + PINAUD_SEAL_KEYS;
        keys = ctl_alloc(ctl, sizeof(ctl_seal_use_t) * uses->room);

        if (uses->count) {
            memcpy(keys, uses->keys, sizeof(ctl_seal_use_t) * uses->count);
        }

        uses->keys = keys;
    }

    use = &uses->keys[uses->count++];
    use->id = ctl_printable(ctl, id, len);

    return use;
}


void
ctl_seal_add(ctl_t *ctl, ctl_seal_uses_t *uses, ctl_seal_kind_e kind,
    const unsigned char *sealed, size_t len)
{
    size_t                id_len;
    const unsigned char  *id;

    if (sealed == NULL) {
        return;
    }

    id_len = pinaud_sealed_by(sealed, len, &id);

    if (id_len == 0) {
        id = (const unsigned char *) CTL_SEAL_DAMAGED;
        id_len = sizeof(CTL_SEAL_DAMAGED) - 1;
    }

    ctl_seal_use(ctl, uses, (const char *) id, id_len)->count[kind]++;
}


/* What should have a MAC and has none counts, too. */

static void
ctl_seal_add_mac(ctl_t *ctl, ctl_seal_uses_t *uses, const redisReply *mac)
{
    size_t       len;
    const char  *id;

    len = 0;

    if (mac != NULL && mac->type == REDIS_REPLY_STRING) {
        id = mac->str;
        len = pinaud_mac_by(mac->str, (size_t) mac->len);
    }

    if (len == 0) {
        id = CTL_SEAL_DAMAGED;
        len = sizeof(CTL_SEAL_DAMAGED) - 1;
    }

    ctl_seal_use(ctl, uses, id, len)->count[CTL_SEAL_MAC]++;
}


static int
ctl_seal_credentials(ctl_t *ctl, ctl_seal_uses_t *uses)
{
    int                rc;
    unsigned           i, n;
    ctl_secret_t       secret;
    ctl_credential_t  *all;

    rc = ctl_credentials_read(ctl, 0, &all, &n);

    for (i = 0; rc == CTL_DONE && i < n; i++) {
        rc = ctl_secret_record_read(ctl, all[i].name, &secret);

        if (rc == CTL_DONE) {
            ctl_seal_add(ctl, uses, CTL_SEAL_ACCESS, all[i].token,
                         all[i].token_len);
            ctl_seal_add(ctl, uses, CTL_SEAL_REFRESH, secret.sealed_refresh,
                         secret.sealed_refresh_len);
            ctl_seal_add(ctl, uses, CTL_SEAL_CLIENT, secret.sealed_client,
                         secret.sealed_client_len);
        }
    }

    return rc;
}


static int
ctl_seal_accounts(ctl_t *ctl, ctl_seal_uses_t *uses)
{
    int             rc;
    unsigned        i, k, n;
    ctl_account_t  *all;

    rc = ctl_accounts_read(ctl, 0, &all, &n);

    for (i = 0; rc == CTL_DONE && i < n; i++) {
        ctl_seal_add_mac(ctl, uses, all[i].mac);

        for (k = 0; k < all[i].nteams; k++) {
            ctl_seal_add_mac(ctl, uses, all[i].teams[k].mac);
        }
    }

    return rc;
}


static int
ctl_seal_team_keys(ctl_t *ctl, ctl_seal_uses_t *uses)
{
    int            rc;
    unsigned       i, n;
    const char    *key, **hashes;
    redisReply    *record;

    rc = ctl_members(ctl, PINAUD_KEY_TEAM_KEYS, pinaud_team_key_is_hex,
                     &hashes, &n);

    for (i = 0; rc == CTL_DONE && i < n; i++) {
        key = ctl_key(ctl, pinaud_key_team_key, hashes[i]);
        record = ctl_ask_values(ctl,
                                ctl_words(ctl, "HMGET", key, "team", "mac",
                                          NULL),
                                key, 2);

        if (record == NULL) {
            return CTL_STORE;
        }

        if (record->element[0]->type != REDIS_REPLY_NIL) {
            ctl_seal_add_mac(ctl, uses, record->element[1]);
        }
    }

    return rc;
}


static json_t *
ctl_seal_json(const ctl_seal_uses_t *uses, const ctl_seal_use_t *use)
{
    return json_pack("{s:s, s:s?, s:I, s:I, s:I, s:I, s:o}",
                     "key", use->id,
                     "file", use->file,
                     "access", (json_int_t) use->count[CTL_SEAL_ACCESS],
                     "refresh", (json_int_t) use->count[CTL_SEAL_REFRESH],
                     "client_secret",
                     (json_int_t) use->count[CTL_SEAL_CLIENT],
                     "mac", (json_int_t) use->count[CTL_SEAL_MAC],
                     "journal",
                     uses->journal
                     ? json_integer((json_int_t)
                                    use->count[CTL_SEAL_JOURNAL])
                     : json_null());
}
