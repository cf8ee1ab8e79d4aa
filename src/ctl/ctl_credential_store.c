
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What is given of a credential goes into its records, sealed.
 */


#include <string.h>
#include "ctl_credential.h"


static int ctl_put_plan(ctl_t *ctl, void *data);
static void ctl_put_limits(ctl_put_t *put, const ctl_credential_t *before,
    ctl_credential_t *after);
static int ctl_put_access(ctl_t *ctl, ctl_put_t *put,
    const ctl_credential_t *before, ctl_change_t *change);
static int ctl_put_client(ctl_t *ctl, ctl_put_t *put,
    const ctl_secret_t *before, ctl_change_t *change);
static int ctl_put_refresh(ctl_t *ctl, ctl_put_t *put,
    const ctl_secret_t *before, ctl_change_t *change);
static void ctl_put_state(ctl_t *ctl, const ctl_put_t *put,
    const ctl_credential_t *credential, const ctl_secret_t *secret,
    ctl_change_t *change);
static ctl_words_t *ctl_put_words(ctl_t *ctl, const ctl_put_t *put,
    size_t (*make)(char *to, const char *name, size_t len));
static void ctl_put_field(ctl_t *ctl, ctl_words_t *words, const char *field,
    const char *value);
static const char *ctl_put_version(ctl_t *ctl, uint64_t version);
static int ctl_put_seal(ctl_t *ctl, ctl_put_t *put, pinaud_domain_e domain,
    const char *kind, const char *field, uint64_t version,
    const ctl_plain_t *plain, ctl_words_t *words);


int
ctl_put_store(ctl_t *ctl, ctl_put_t *put)
{
    int  rc;

    rc = CTL_DONE;

    if (put->now == 0 && (put->expires_in || put->refresh_expires_in)) {
        rc = ctl_store_time(ctl, &put->now);
    }

    return rc == CTL_DONE ? ctl_transact(ctl, ctl_put_plan, put) : rc;
}


static int
ctl_put_plan(ctl_t *ctl, void *data)
{
    int                rc;
    ctl_put_t         *put;
    ctl_change_t      *change;
    ctl_secret_t       secret;
    ctl_credential_t   after, before;

    put = data;

    if (ctl_watch(ctl, ctl_key(ctl, pinaud_key_credential, put->name))
        != CTL_DONE
        || ctl_watch(ctl, ctl_key(ctl, pinaud_key_secret, put->name))
           != CTL_DONE)
    {
        return CTL_STORE;
    }

    rc = ctl_credential_read(ctl, put->name, &before);

    if (rc == CTL_DONE) {
        rc = ctl_credential_version_read(ctl, &before);
    }

    if (rc == CTL_DONE) {
        rc = ctl_secret_record_read(ctl, put->name, &secret);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    ctl_put_limits(put, &before, &after);
    change = ctl_plan_credential(ctl, &before, &after);

    rc = ctl_put_access(ctl, put, &before, change);

    if (rc == CTL_DONE) {
        rc = ctl_put_client(ctl, put, &secret, change);
    }

    if (rc == CTL_DONE) {
        rc = ctl_put_refresh(ctl, put, &secret, change);
    }

    if (rc == CTL_DONE) {
        ctl_put_state(ctl, put, &before, &secret, change);
    }

    return rc;
}


/* A new credential is standard, and one with limits of its own is custom. */

static void
ctl_put_limits(ctl_put_t *put, const ctl_credential_t *before,
    ctl_credential_t *after)
{
    *after = *before;

    if (put->tier) {
        after->tier = put->tier;
        ctl_limits_tier(put->tier, &after->limits, &after->limits_all);

    } else if (!before->exists) {
        after->tier = put->limits_named ? "custom" : "standard";
        ctl_limits_tier("standard", &after->limits, &after->limits_all);
    }

    if (put->limits_named) {
        after->limits = put->limits;
    }

    if (put->limits_all_named) {
        after->limits_all = put->limits_all;
    }
}


static int
ctl_put_access(ctl_t *ctl, ctl_put_t *put, const ctl_credential_t *before,
    ctl_change_t *change)
{
    char          fingerprint[CTL_FINGERPRINT];
    uint64_t      expires, version;
    ctl_words_t  *words;

    if (put->token.text == NULL && put->expires_in == 0) {
        return CTL_DONE;
    }

    if (put->token.text == NULL && before->token == NULL) {
        return ctl_fail(CTL_REFUSED, "--expires-in: credential %s has no "
                        "access token", put->name);
    }

    expires = put->expires_in ? put->now + put->expires_in : 0;

    words = ctl_put_words(ctl, put, pinaud_key_credential);
    ctl_put_field(ctl, words, "expires", ctl_number(ctl, expires));

    if (put->token.text) {
        version = before->version + 1;

        ctl_put_field(ctl, words, "version", ctl_number(ctl, version));

        if (ctl_put_seal(ctl, put, PINAUD_DOMAIN_GATEWAY, "access", "token",
                         version, &put->token, words)
            != CTL_DONE)
        {
            return CTL_REFUSED;
        }

        ctl_fingerprint((unsigned char *) put->token.text, put->token.len,
                        fingerprint);
        ctl_change_field(ctl, change, "access-token",
                         before->token
                         ? ctl_put_version(ctl, before->version) : NULL,
                         ctl_format(ctl, "%s, fingerprint %s",
                                    ctl_put_version(ctl, version),
                                    fingerprint));
    }

    if (put->scope) {
        ctl_put_field(ctl, words, "scope", put->scope);
        ctl_change_field(ctl, change, "scope", before->scope, put->scope);
    }

    ctl_change_field(ctl, change, "expires",
                     before->token ? ctl_time(ctl, before->expires) : NULL,
                     ctl_time(ctl, expires));
    ctl_queue(ctl, words);

    return CTL_DONE;
}


/* The app: both or neither of id and secret, counted with what is there. */

static int
ctl_put_client(ctl_t *ctl, ctl_put_t *put, const ctl_secret_t *before,
    ctl_change_t *change)
{
    ctl_words_t  *words;

    if ((put->client_id || before->client_id)
        != (put->client_secret.text || before->client_secret))
    {
        return ctl_fail(CTL_REFUSED, "credential %s would have only one of "
                        "client id and client secret", put->name);
    }

    words = ctl_put_words(ctl, put, pinaud_key_secret);

    if (put->client_id) {
        ctl_put_field(ctl, words, "client_id", put->client_id);
        ctl_change_field(ctl, change, "client-id", before->client_id,
                         put->client_id);
    }

    if (put->client_secret.text) {
        if (ctl_put_seal(ctl, put, PINAUD_DOMAIN_AGENT, "client-secret",
                         "client_secret", 0, &put->client_secret, words)
            != CTL_DONE)
        {
            return CTL_REFUSED;
        }

        ctl_change_field(ctl, change, "client-secret",
                         before->client_secret ? "set" : NULL, "set anew");
    }

    if (put->client_id || put->client_secret.text) {
        ctl_queue(ctl, words);
    }

    return CTL_DONE;
}


static int
ctl_put_refresh(ctl_t *ctl, ctl_put_t *put, const ctl_secret_t *before,
    ctl_change_t *change)
{
    uint64_t      expires, version;
    ctl_words_t  *words;

    if (put->refresh.text == NULL && put->refresh_expires_in == 0) {
        return CTL_DONE;
    }

    if (put->refresh.text == NULL && !before->refresh) {
        return ctl_fail(CTL_REFUSED, "--refresh-expires-in: credential %s "
                        "has no refresh token", put->name);
    }

    expires = put->refresh_expires_in ? put->now + put->refresh_expires_in : 0;

    words = ctl_put_words(ctl, put, pinaud_key_secret);
    ctl_put_field(ctl, words, "refresh_expires", ctl_number(ctl, expires));

    if (put->refresh.text) {
        version = before->refresh_version + 1;

        ctl_put_field(ctl, words, "refresh_version",
                      ctl_number(ctl, version));

        if (ctl_put_seal(ctl, put, PINAUD_DOMAIN_AGENT, "refresh", "refresh",
                         version, &put->refresh, words)
            != CTL_DONE)
        {
            return CTL_REFUSED;
        }

        ctl_change_field(ctl, change, "refresh-token",
                         before->refresh
                         ? ctl_put_version(ctl, before->refresh_version)
                         : NULL,
                         ctl_put_version(ctl, version));
    }

    ctl_change_field(ctl, change, "refresh-expires",
                     before->refresh ? ctl_time(ctl, before->refresh_expires)
                                     : NULL,
                     ctl_time(ctl, expires));
    ctl_queue(ctl, words);

    /* a copy for gateways, which may not read the other record */

    ctl_queue(ctl, ctl_words(ctl, "HSET",
                             ctl_key(ctl, pinaud_key_credential, put->name),
                             "refresh_expires", ctl_number(ctl, expires),
                             NULL));

    return CTL_DONE;
}


/*
 * What went wrong with other tokens, or another app, is over. An attempt to
 * spend a refresh token stands until that token is another.
 */

static void
ctl_put_state(ctl_t *ctl, const ctl_put_t *put,
    const ctl_credential_t *credential, const ctl_secret_t *secret,
    ctl_change_t *change)
{
    if (put->token.text == NULL && put->refresh.text == NULL
        && put->client_id == NULL && put->client_secret.text == NULL)
    {
        return;
    }

    if (credential->state != CTL_STATE_OK) {
        ctl_queue(ctl, ctl_words(ctl, "HDEL",
                                 ctl_key(ctl, pinaud_key_credential,
                                         put->name),
                                 "state", "reason", NULL));
        ctl_change_field(ctl, change, "state",
                         ctl_state_name(credential->state),
                         ctl_state_name(CTL_STATE_OK));
    }

    if (secret->failures || secret->demands) {
        ctl_queue(ctl, ctl_words(ctl, "HDEL",
                                 ctl_key(ctl, pinaud_key_secret, put->name),
                                 "failures", "demands", NULL));
    }

    if (secret->attempt && put->refresh.text) {
        ctl_queue(ctl, ctl_words(ctl, "HDEL",
                                 ctl_key(ctl, pinaud_key_secret, put->name),
                                 "attempt", NULL));
        ctl_change_field(ctl, change, "attempt", "stands", NULL);
    }
}


static ctl_words_t *
ctl_put_words(ctl_t *ctl, const ctl_put_t *put,
    size_t (*make)(char *to, const char *name, size_t len))
{
    return ctl_words(ctl, "HSET", ctl_key(ctl, make, put->name),
                     "format", PINAUD_RECORD_FORMAT, NULL);
}


static void
ctl_put_field(ctl_t *ctl, ctl_words_t *words, const char *field,
    const char *value)
{
    ctl_word(ctl, words, field);
    ctl_word(ctl, words, value);
}


static const char *
ctl_put_version(ctl_t *ctl, uint64_t version)
{
    return ctl_format(ctl, "version %s", ctl_number(ctl, version));
}


/* Adds the field with the sealed value to the command's words. */

static int
ctl_put_seal(ctl_t *ctl, ctl_put_t *put, pinaud_domain_e domain,
    const char *kind, const char *field, uint64_t version,
    const ctl_plain_t *plain, ctl_words_t *words)
{
    size_t          aad_len, len;
    unsigned char   aad[PINAUD_SEAL_AAD_MAX], *sealed;

    aad_len = pinaud_seal_aad(aad, kind, put->name, strlen(put->name),
                              version);

    sealed = ctl_alloc(ctl, plain->len + PINAUD_SEAL_OVERHEAD);
    len = pinaud_seal(put->ring, domain, aad, aad_len,
                      (unsigned char *) plain->text, plain->len, sealed);

    if (len == 0) {
        return ctl_fail(CTL_REFUSED, "libcrypto does not seal");
    }

    ctl_word(ctl, words, field);
    ctl_word_bytes(ctl, words, sealed, len);

    return CTL_DONE;
}
