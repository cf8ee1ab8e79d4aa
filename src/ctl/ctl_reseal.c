
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl seal-key reseal": everything anew by the first key. One record is
 * one transaction, whatever becomes of the others, so that it may be stopped
 * at any time and be begun again.
 */


#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>
#include "ctl_seal.h"
#include "pinaud_mac.h"
#include "pinaud_team_key.h"


/* What stands for the sealed values of one kind. */

typedef struct {
    pinaud_domain_e       domain;
    const char           *kind;        /* of the associated data */
    const char           *field;
    uint64_t              version;
    const unsigned char  *sealed;      /* NULL: there is none */
    size_t                len;
} ctl_sealed_t;


typedef struct {
    const char           *name;        /* of what is at hand */
    unsigned              changed:1;   /* it had something by another key */
    const char           *problem;     /* why it stays as it is, or NULL */

    uint64_t              credentials;
    uint64_t              accounts;
    uint64_t              team_keys;
    uint64_t              failed;
} ctl_reseal_t;


static int ctl_reseal_all(ctl_t *ctl, ctl_reseal_t *reseal, const char *set,
    int (*check)(const unsigned char *text, size_t len), const char *what,
    int (*plan)(ctl_t *ctl, void *data), uint64_t *count);
static void ctl_reseal_report(ctl_t *ctl, const ctl_reseal_t *reseal);

static int ctl_reseal_credential(ctl_t *ctl, void *data);
static int ctl_reseal_stale(ctl_t *ctl, const ctl_sealed_t *sealed);
static const char *ctl_reseal_value(ctl_t *ctl, const char *name,
    const char *key, const ctl_sealed_t *sealed);
static const char *ctl_reseal_unopened(ctl_t *ctl, const ctl_sealed_t *sealed,
    pinaud_open_e rc);

static int ctl_reseal_account(ctl_t *ctl, void *data);
static int ctl_reseal_team_key(ctl_t *ctl, void *data);
static int ctl_reseal_stale_mac(ctl_t *ctl, const char *mac, size_t len);
static int ctl_reseal_first(ctl_t *ctl, const void *id, size_t len);


int
ctl_seal_key_reseal(ctl_t *ctl)
{
    int           rc;
    ctl_reseal_t  reseal;

    memset(&reseal, 0, sizeof(ctl_reseal_t));

    rc = ctl_mac_keys(ctl, 1);

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_reseal_all(ctl, &reseal, PINAUD_KEY_CREDENTIALS,
                            pinaud_is_name, "credential",
                            ctl_reseal_credential, &reseal.credentials);
    }

    if (rc == CTL_DONE) {
        rc = ctl_reseal_all(ctl, &reseal, PINAUD_KEY_ACCOUNTS,
                            pinaud_is_account, "account", ctl_reseal_account,
                            &reseal.accounts);
    }

    if (rc == CTL_DONE) {
        rc = ctl_reseal_all(ctl, &reseal, PINAUD_KEY_TEAM_KEYS,
                            pinaud_team_key_is_hex, "team key",
                            ctl_reseal_team_key, &reseal.team_keys);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    ctl_reseal_report(ctl, &reseal);

    return reseal.failed ? CTL_REFUSED : CTL_DONE;
}


/* All things of a kind, one after another. */

static int
ctl_reseal_all(ctl_t *ctl, ctl_reseal_t *reseal, const char *set,
    int (*check)(const unsigned char *text, size_t len), const char *what,
    int (*plan)(ctl_t *ctl, void *data), uint64_t *count)
{
    int            rc;
    uint64_t       now;
    unsigned       i, n;
    const char   **names;
    ctl_block_t   *mark;

    rc = ctl_members(ctl, set, check, &names, &n);

    for (i = 0; rc == CTL_DONE && i < n; i++) {

        reseal->name = names[i];

        mark = ctl_pool_mark(ctl);
        rc = ctl_transact(ctl, plan, reseal);

        if (rc == CTL_DONE && reseal->problem != NULL) {
            (void) ctl_fail(CTL_REFUSED, "%s %s: %s", what, names[i],
                            reseal->problem);
            reseal->failed++;

        } else if (rc == CTL_REFUSED
                   || (rc == CTL_STORE
                       && ctl_store_time(ctl, &now) == CTL_DONE))
        {
            /* told already, as of a damaged record; the others may do */

            reseal->failed++;
            rc = CTL_DONE;

        } else if (rc == CTL_DONE && reseal->changed) {
            (*count)++;
        }

        ctl_pool_release(ctl, mark);
    }

    return rc;
}


static void
ctl_reseal_report(ctl_t *ctl, const ctl_reseal_t *reseal)
{
    size_t       len;
    const char  *first;

    first = pinaud_keyring_id(ctl->ring, 0, &len);
    first = ctl_copy(ctl, first, len);

    if (ctl->json) {
        ctl_print_json(json_pack("{s:s, s:I, s:I, s:I, s:I}",
            "key", first,
            "credentials", (json_int_t) reseal->credentials,
            "accounts", (json_int_t) reseal->accounts,
            "team_keys", (json_int_t) reseal->team_keys,
            "failed", (json_int_t) reseal->failed));
        return;
    }

    printf("Now by key %s: %s credentials, %s accounts, %s team keys.\n",
           first, ctl_number(ctl, reseal->credentials),
           ctl_number(ctl, reseal->accounts),
           ctl_number(ctl, reseal->team_keys));

    if (reseal->failed) {
        printf("Still by another: %s. Run it again when that is mended.\n",
               ctl_number(ctl, reseal->failed));
    }
}


/*
 * Versions stay, and with them what binds a value to its record. An agent
 * knows its attempt by the sealed refresh token, which therefore stays as it
 * is until the attempt is over.
 */

static int
ctl_reseal_credential(ctl_t *ctl, void *data)
{
    ctl_reseal_t *reseal = data;

    int                rc;
    unsigned           i;
    const char        *keys[3];
    ctl_secret_t       secret;
    ctl_sealed_t       sealed[3];
    ctl_credential_t   credential;

    reseal->changed = 0;
    reseal->problem = NULL;

    keys[0] = ctl_key(ctl, pinaud_key_credential, reseal->name);
    keys[1] = ctl_key(ctl, pinaud_key_secret, reseal->name);
    keys[2] = keys[1];

    if (ctl_watch(ctl, keys[0]) != CTL_DONE
        || ctl_watch(ctl, keys[1]) != CTL_DONE)
    {
        return CTL_STORE;
    }

    rc = ctl_credential_read(ctl, reseal->name, &credential);

    if (rc == CTL_DONE) {
        rc = ctl_secret_record_read(ctl, reseal->name, &secret);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    sealed[0] = (ctl_sealed_t) { PINAUD_DOMAIN_GATEWAY, "access", "token",
                                 credential.version, credential.token,
                                 credential.token_len };
    sealed[1] = (ctl_sealed_t) { PINAUD_DOMAIN_AGENT, "refresh", "refresh",
                                 secret.refresh_version,
                                 secret.sealed_refresh,
                                 secret.sealed_refresh_len };
    sealed[2] = (ctl_sealed_t) { PINAUD_DOMAIN_AGENT, "client-secret",
                                 "client_secret", 0, secret.sealed_client,
                                 secret.sealed_client_len };

    for (i = 0; i < 3 && reseal->problem == NULL; i++) {

        if (!ctl_reseal_stale(ctl, &sealed[i])) {
            continue;
        }

        reseal->changed = 1;
        reseal->problem = secret.attempt
                          ? "an agent's attempt to refresh it stands: try "
                            "again when it is over"
                          : ctl_reseal_value(ctl, reseal->name, keys[i],
                                             &sealed[i]);
    }

    if (reseal->problem != NULL) {
        ctl_queue_drop(ctl);
    }

    return CTL_DONE;
}


static int
ctl_reseal_stale(ctl_t *ctl, const ctl_sealed_t *sealed)
{
    size_t                len;
    const unsigned char  *id;

    if (sealed->sealed == NULL) {
        return 0;
    }

    len = pinaud_sealed_by(sealed->sealed, sealed->len, &id);

    return len == 0 || !ctl_reseal_first(ctl, id, len);
}


/* Returns what is wrong, or NULL with the command queued. */

static const char *
ctl_reseal_value(ctl_t *ctl, const char *name, const char *key,
    const ctl_sealed_t *sealed)
{
    char           *plain;
    size_t          aad_len, len, plain_len;
    ctl_words_t    *words;
    pinaud_open_e   rc;
    unsigned char   aad[PINAUD_SEAL_AAD_MAX], *again;

    rc = ctl_unseal(ctl, ctl->ring, sealed->domain, sealed->kind, name,
                    sealed->version, sealed->sealed, sealed->len, &plain,
                    &plain_len);

    if (rc != PINAUD_OPENED) {
        return ctl_reseal_unopened(ctl, sealed, rc);
    }

    aad_len = pinaud_seal_aad(aad, sealed->kind, name, strlen(name),
                              sealed->version);
    again = ctl_alloc(ctl, plain_len + PINAUD_SEAL_OVERHEAD);
    len = pinaud_seal(ctl->ring, sealed->domain, aad, aad_len,
                      (unsigned char *) plain, plain_len, again);

    OPENSSL_cleanse(plain, plain_len);

    if (len == 0) {
        return "libcrypto does not seal";
    }

    words = ctl_words(ctl, "HSET", key, sealed->field, NULL);
    ctl_word_bytes(ctl, words, again, len);
    ctl_queue(ctl, words);

    return NULL;
}


static const char *
ctl_reseal_unopened(ctl_t *ctl, const ctl_sealed_t *sealed, pinaud_open_e rc)
{
    size_t                len;
    const char           *by;
    const unsigned char  *id;

    len = pinaud_sealed_by(sealed->sealed, sealed->len, &id);
    by = len ? ctl_copy(ctl, (const char *) id, len) : "";

    switch (rc) {

    case PINAUD_SEAL_UNKNOWN_KEY:
        return ctl_format(ctl, "its %s is sealed by key %s, which is not in "
                          "the seal key file: add it, or put it again",
                          sealed->field, by);

    case PINAUD_SEAL_GATEWAY_KEY:
        return ctl_format(ctl, "its %s is sealed by key %s, of which the "
                          "seal key file has a gateway's line only",
                          sealed->field, by);

    default:
        return ctl_format(ctl, "its %s does not open: put it again",
                          sealed->field);
    }
}


/* What is by another key counts as forged, and so is written anew. */

static int
ctl_reseal_account(ctl_t *ctl, void *data)
{
    ctl_reseal_t *reseal = data;

    int             rc;
    unsigned        i;
    ctl_team_t     *team;
    ctl_account_t   after, before;

    reseal->changed = 0;
    reseal->problem = NULL;

    if (ctl_watch(ctl, ctl_key(ctl, pinaud_key_account, reseal->name))
        != CTL_DONE)
    {
        return CTL_STORE;
    }

    rc = ctl_account_read(ctl, reseal->name, &before);

    if (rc != CTL_DONE || !before.exists) {
        return rc;
    }

    if (ctl_account_forged(&before)) {
        reseal->problem = "has a wrong MAC: see \"pinaudctl account show\"";
        return CTL_DONE;
    }

    ctl_account_copy(ctl, &after, &before, 0);

    before.forged = ctl_reseal_stale_mac(ctl, before.mac->str,
                                         (size_t) before.mac->len);

    for (i = 0; i < before.nteams; i++) {
        team = &before.teams[i];
        team->forged = ctl_reseal_stale_mac(ctl, team->mac->str,
                                            (size_t) team->mac->len);
    }

    reseal->changed = ctl_account_forged(&before);
    ctl_plan_account(ctl, &before, &after);

    return CTL_DONE;
}


static int
ctl_reseal_team_key(ctl_t *ctl, void *data)
{
    ctl_reseal_t *reseal = data;

    char         mac[PINAUD_MAC_MAX];
    size_t       len;
    const char  *key;
    redisReply  *record, *team, *old;

    reseal->changed = 0;
    reseal->problem = NULL;

    key = ctl_key(ctl, pinaud_key_team_key, reseal->name);

    if (ctl_watch(ctl, key) != CTL_DONE) {
        return CTL_STORE;
    }

    record = ctl_ask_values(ctl,
                            ctl_words(ctl, "HMGET", key, "team", "mac", NULL),
                            key, 2);

    if (record == NULL) {
        return CTL_STORE;
    }

    team = record->element[0];
    old = record->element[1];

    if (team->type == REDIS_REPLY_NIL) {
        return CTL_DONE;
    }

    reseal->problem = "has a wrong MAC: revoke it";

    if (team->type != REDIS_REPLY_STRING || old->type != REDIS_REPLY_STRING
        || !pinaud_is_name((unsigned char *) team->str, (size_t) team->len))
    {
        return CTL_DONE;
    }

    len = (size_t) team->len;

    if (pinaud_team_key_mac_check(ctl->ring, reseal->name, team->str, len,
                                  old->str, (size_t) old->len)
        != PINAUD_MAC_GOOD)
    {
        return CTL_DONE;
    }

    reseal->problem = NULL;

    if (!ctl_reseal_stale_mac(ctl, old->str, (size_t) old->len)) {
        return CTL_DONE;
    }

    if (pinaud_team_key_mac(ctl->ring, reseal->name, team->str, len, mac)
        == 0)
    {
        return ctl_fail(CTL_REFUSED, "libcrypto does not sign");
    }

    reseal->changed = 1;
    ctl_queue(ctl, ctl_words(ctl, "HSET", key, "mac",
                             ctl_copy(ctl, mac, strlen(mac)), NULL));

    return CTL_DONE;
}


static int
ctl_reseal_stale_mac(ctl_t *ctl, const char *mac, size_t len)
{
    return !ctl_reseal_first(ctl, mac, pinaud_mac_by(mac, len));
}


/* Whether this is the first key's id. */

static int
ctl_reseal_first(ctl_t *ctl, const void *id, size_t len)
{
    size_t       first_len;
    const char  *first;

    first = pinaud_keyring_id(ctl->ring, 0, &first_len);

    return len == first_len && memcmp(id, first, len) == 0;
}
