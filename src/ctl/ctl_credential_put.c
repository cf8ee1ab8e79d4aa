
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl credential put"
 */


#include <string.h>
#include "ctl.h"


/* A text of NULL was not given. */

typedef struct {
    char              *text;
    size_t             len;
} ctl_plain_t;


typedef struct {
    const char        *name;

    pinaud_keyring_t  *ring;           /* NULL: there is nothing to seal */
    ctl_plain_t        token;
    ctl_plain_t        refresh;
    ctl_plain_t        client_secret;
    const char        *client_id;
    uint64_t           expires_in;     /* 0: not told */
    uint64_t           refresh_expires_in;

    const char        *tier;           /* NULL: not told */
    int                limits_named;
    int                limits_all_named;
    pinaud_limits_t    limits;
    pinaud_limits_t    limits_all;
} ctl_put_t;


static int ctl_put_options(ctl_t *ctl, ctl_put_t *put);
static int ctl_put_secret(ctl_t *ctl, ctl_put_t *put, const char *option,
    ctl_plain_t *plain);
static int ctl_put_plan(ctl_t *ctl, void *data);
static void ctl_put_limits(ctl_put_t *put, const ctl_credential_t *before,
    ctl_credential_t *after);
static int ctl_put_access(ctl_t *ctl, ctl_put_t *put,
    const ctl_credential_t *before, uint64_t now, ctl_change_t *change);
static int ctl_put_client(ctl_t *ctl, ctl_put_t *put,
    const ctl_secret_t *before, ctl_change_t *change);
static int ctl_put_refresh(ctl_t *ctl, ctl_put_t *put,
    const ctl_secret_t *before, uint64_t now, ctl_change_t *change);
static ctl_words_t *ctl_put_words(ctl_t *ctl, const ctl_put_t *put);
static void ctl_put_field(ctl_t *ctl, ctl_words_t *words, const char *field,
    const char *value);
static const char *ctl_put_version(ctl_t *ctl, uint64_t version);
static int ctl_put_seal(ctl_t *ctl, ctl_put_t *put, pinaud_domain_e domain,
    const char *kind, const char *field, uint64_t version,
    const ctl_plain_t *plain, ctl_words_t *words);


int
ctl_credential_put(ctl_t *ctl)
{
    int        rc;
    ctl_put_t  put;

    memset(&put, 0, sizeof(ctl_put_t));
    put.name = ctl->args[0];

    rc = ctl_put_options(ctl, &put);

    if (rc == CTL_DONE) {
        rc = ctl_put_secret(ctl, &put, "access-token-file", &put.token);
    }

    if (rc == CTL_DONE) {
        rc = ctl_put_secret(ctl, &put, "refresh-token-file", &put.refresh);
    }

    if (rc == CTL_DONE) {
        rc = ctl_put_secret(ctl, &put, "client-secret-file",
                            &put.client_secret);
    }

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_transact(ctl, ctl_put_plan, &put);
    }

    pinaud_keyring_free(put.ring);

    if (rc == CTL_DONE) {
        ctl_report(ctl, 0);
    }

    return rc;
}


static int
ctl_put_options(ctl_t *ctl, ctl_put_t *put)
{
    int               rc;
    size_t            len;
    const char       *text;
    pinaud_limits_t   ignored, ignored_all;

    rc = ctl_check_name("credential", put->name);

    text = ctl_given(ctl, "expires-in");

    if (rc == CTL_DONE && text != NULL) {
        rc = ctl_seconds("expires-in", text, &put->expires_in);
    }

    text = ctl_given(ctl, "refresh-expires-in");

    if (rc == CTL_DONE && text != NULL) {
        rc = ctl_seconds("refresh-expires-in", text,
                         &put->refresh_expires_in);
    }

    if (rc == CTL_DONE) {
        rc = ctl_limits_given(ctl, "limit", &put->limits,
                              &put->limits_named);
    }

    if (rc == CTL_DONE) {
        rc = ctl_limits_given(ctl, "limit-all", &put->limits_all,
                              &put->limits_all_named);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    put->tier = ctl_given(ctl, "tier");

    if (put->tier && !ctl_limits_tier(put->tier, &ignored, &ignored_all)) {
        return ctl_fail(CTL_USAGE, "--tier is standard or trial");
    }

    put->client_id = ctl_given(ctl, "client-id");

    if (put->client_id == NULL) {
        return CTL_DONE;
    }

    len = strlen(put->client_id);

    if (len > 128
        || strspn(put->client_id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789._-")
           != len)
    {
        return ctl_fail(CTL_USAGE, "--client-id is 1 to 128 letters, digits "
                        "and . _ -");
    }

    return CTL_DONE;
}


static int
ctl_put_secret(ctl_t *ctl, ctl_put_t *put, const char *option,
    ctl_plain_t *plain)
{
    int          rc;
    const char  *path;

    path = ctl_given(ctl, option);

    if (path == NULL) {
        return CTL_DONE;
    }

    if (put->ring == NULL) {
        rc = ctl_keyring_master(ctl, &put->ring);

        if (rc != CTL_DONE) {
            return rc;
        }
    }

    return ctl_secret_read(ctl, option, path, &plain->text, &plain->len);
}


static int
ctl_put_plan(ctl_t *ctl, void *data)
{
    int                rc;
    uint64_t           now;
    ctl_put_t         *put;
    ctl_change_t      *change;
    ctl_secret_t       secret;
    ctl_credential_t   after, before;

    put = data;
    now = 0;

    if (ctl_watch(ctl, ctl_key(ctl, pinaud_key_credential, put->name))
        != CTL_DONE
        || ctl_watch(ctl, ctl_key(ctl, pinaud_key_secret, put->name))
           != CTL_DONE)
    {
        return CTL_STORE;
    }

    rc = ctl_credential_read(ctl, put->name, &before);

    if (rc == CTL_DONE) {
        rc = ctl_secret_record_read(ctl, put->name, &secret);
    }

    if (rc == CTL_DONE && (put->expires_in || put->refresh_expires_in)) {
        rc = ctl_store_time(ctl, &now);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    ctl_put_limits(put, &before, &after);
    change = ctl_plan_credential(ctl, &before, &after);

    rc = ctl_put_access(ctl, put, &before, now, change);

    if (rc == CTL_DONE) {
        rc = ctl_put_client(ctl, put, &secret, change);
    }

    if (rc == CTL_DONE) {
        rc = ctl_put_refresh(ctl, put, &secret, now, change);
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
    uint64_t now, ctl_change_t *change)
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

    expires = put->expires_in ? now + put->expires_in : 0;

    words = ctl_words(ctl, "HSET",
                      ctl_key(ctl, pinaud_key_credential, put->name), NULL);
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

    words = ctl_put_words(ctl, put);

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
    uint64_t now, ctl_change_t *change)
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

    expires = put->refresh_expires_in ? now + put->refresh_expires_in : 0;

    words = ctl_put_words(ctl, put);
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

    return CTL_DONE;
}


static ctl_words_t *
ctl_put_words(ctl_t *ctl, const ctl_put_t *put)
{
    return ctl_words(ctl, "HSET",
                     ctl_key(ctl, pinaud_key_secret, put->name),
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
