
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl credential": list and show. Nothing secret is among it.
 */


#include <stdio.h>
#include "ctl_agent_due.h"
#include "ctl_credential.h"


typedef struct {
    ctl_credential_t   credential;
    ctl_secret_t       secret;
    ctl_cooldown_t     cooldown;
    ctl_state_t        state;
    uint64_t           now;
    const char       **accounts;
    unsigned           naccounts;
} ctl_shown_t;


static int ctl_list(ctl_t *ctl, pinaud_keyring_t *ring);
static int ctl_show(ctl_t *ctl, pinaud_keyring_t *ring);
static const char *ctl_show_attempt(ctl_t *ctl, const ctl_secret_t *secret);
static void ctl_show_text(ctl_t *ctl, const ctl_shown_t *shown);
static json_t *ctl_show_json(ctl_t *ctl, const ctl_shown_t *shown);
static json_t *ctl_summary_json(ctl_t *ctl,
    const ctl_credential_t *credential, const ctl_state_t *state,
    uint64_t now);
static json_t *ctl_json_left(uint64_t expires, uint64_t now);
static json_t *ctl_json_time(ctl_t *ctl, uint64_t seconds);
static const char *ctl_expiry(ctl_t *ctl, uint64_t expires, uint64_t now);
static void ctl_line(const char *name, const char *value);


int
ctl_credential_list(ctl_t *ctl)
{
    int                rc;
    pinaud_keyring_t  *ring;

    rc = ctl_keyring(ctl, 0, &ring);

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_list(ctl, ring);
    }

    pinaud_keyring_free(ring);

    return rc;
}


static int
ctl_list(ctl_t *ctl, pinaud_keyring_t *ring)
{
    int                rc;
    json_t            *array;
    uint64_t           now;
    unsigned           i, n;
    ctl_state_t        state;
    ctl_table_t       *table;
    ctl_credential_t  *all;

    rc = ctl_credentials_read(ctl, 0, &all, &n);

    if (rc == CTL_DONE) {
        rc = ctl_store_time(ctl, &now);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    array = json_array();
    table = ctl_table(ctl, "CREDENTIAL", "TIER", "LIMIT", "LIMIT-ALL",
                      "VERSION", "EXPIRES", "REFRESH-EXPIRES", "STATE",
                      NULL);

    for (i = 0; i < n; i++) {
        ctl_credential_state(ctl, &all[i], NULL, now, ring, &state);

        ctl_row(table, all[i].name, all[i].tier,
                ctl_limits_text(ctl, &all[i].limits),
                ctl_limits_text(ctl, &all[i].limits_all),
                ctl_number(ctl, all[i].version),
                all[i].token ? ctl_expiry(ctl, all[i].expires, now) : NULL,
                all[i].refresh_expires
                ? ctl_expiry(ctl, all[i].refresh_expires, now) : NULL,
                state.state);

        ctl_json_append(array,
                              ctl_summary_json(ctl, &all[i], &state, now));
    }

    ctl_print(ctl, table, array);

    for (i = 0; !ctl->json && i < n; i++) {
        ctl_credential_state(ctl, &all[i], NULL, now, ring, &state);

        if (state.next != NULL) {
            printf("%s: %s\n", all[i].name, state.next);
        }
    }

    return CTL_DONE;
}


int
ctl_credential_show(ctl_t *ctl)
{
    int                rc;
    pinaud_keyring_t  *ring;

    rc = ctl_check_name("credential", ctl->args[0]);

    if (rc != CTL_DONE) {
        return rc;
    }

    rc = ctl_keyring(ctl, 0, &ring);

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_show(ctl, ring);
    }

    pinaud_keyring_free(ring);

    return rc;
}


static int
ctl_show(ctl_t *ctl, pinaud_keyring_t *ring)
{
    int          rc;
    const char  *name;
    ctl_shown_t  shown;

    name = ctl->args[0];

    rc = ctl_credential_read(ctl, name, &shown.credential);

    if (rc == CTL_DONE && !shown.credential.exists) {
        return ctl_fail(CTL_REFUSED, "there is no credential %s", name);
    }

    if (rc == CTL_DONE) {
        rc = ctl_secret_record_read(ctl, name, &shown.secret);
    }

    if (rc == CTL_DONE) {
        rc = ctl_members(ctl,
                         ctl_key(ctl, pinaud_key_credential_accounts, name),
                         pinaud_is_account, &shown.accounts,
                         &shown.naccounts);
    }

    if (rc == CTL_DONE) {
        rc = ctl_cooldown_read(ctl, &shown.credential, &shown.cooldown);
    }

    if (rc == CTL_DONE) {
        rc = ctl_store_time(ctl, &shown.now);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    ctl_credential_state(ctl, &shown.credential, &shown.secret, shown.now, ring,
                         &shown.state);

    if (ctl->json) {
        ctl_print_json(ctl_show_json(ctl, &shown));

    } else {
        ctl_show_text(ctl, &shown);
    }

    return CTL_DONE;
}


static void
ctl_show_text(ctl_t *ctl, const ctl_shown_t *shown)
{
    const ctl_state_t       *state;
    const ctl_secret_t      *secret;
    const ctl_credential_t  *credential;

    credential = &shown->credential;
    secret = &shown->secret;
    state = &shown->state;

    ctl_line("credential", credential->name);
    ctl_line("state", state->state);
    ctl_line("reason", credential->reason);
    ctl_line("to do", state->next);
    ctl_line("tier", credential->tier);
    ctl_line("limit", ctl_limits_text(ctl, &credential->limits));
    ctl_line("limit-all", ctl_limits_text(ctl, &credential->limits_all));
    ctl_line("cooldown", ctl_cooldown_text(ctl, &shown->cooldown,
                                           shown->cooldown.writes));
    ctl_line("cooldown-all", ctl_cooldown_text(ctl, &shown->cooldown,
                                               shown->cooldown.all));

    if (credential->token) {
        ctl_line("version", ctl_number(ctl, credential->version));
        ctl_line("expires", ctl_expiry(ctl, credential->expires,
                                       shown->now));
        ctl_line("sealed by", state->sealed_by);
        ctl_line("fingerprint", state->fingerprint);
    }

    ctl_line("scope", credential->scope);
    ctl_line("client id", secret->client_id);

    if (secret->refresh) {
        ctl_line("refresh token", ctl_format(ctl, "version %llu, expires %s",
                     (unsigned long long) secret->refresh_version,
                     ctl_expiry(ctl, secret->refresh_expires, shown->now)));
    }

    ctl_line("attempt", ctl_show_attempt(ctl, secret));

    if (secret->refreshed) {
        ctl_line("refreshed", ctl_time(ctl, secret->refreshed));
    }

    ctl_line("accounts", shown->naccounts
                         ? ctl_some(ctl, shown->accounts, shown->naccounts)
                         : "none");
}


/* "of host gw1 since 2026-11-24T10:00:00Z", or NULL */

static const char *
ctl_show_attempt(ctl_t *ctl, const ctl_secret_t *secret)
{
    ctl_attempt_t  attempt;

    if (secret->attempt == NULL
        || ctl_attempt_read(secret->attempt, &attempt) != 0)
    {
        return secret->attempt;
    }

    return ctl_format(ctl, "of host %s since %s", attempt.host,
                      ctl_time(ctl, attempt.at / 1000));
}


static json_t *
ctl_show_json(ctl_t *ctl, const ctl_shown_t *shown)
{
    json_t              *accounts, *object, *refresh;
    unsigned             i;
    const ctl_secret_t  *secret;

    secret = &shown->secret;
    object = ctl_summary_json(ctl, &shown->credential, &shown->state,
                              shown->now);

    json_object_set_new(object, "sealed_by",
                        ctl_json_text(shown->state.sealed_by));
    json_object_set_new(object, "client_id", ctl_json_text(secret->client_id));

    refresh = json_null();

    if (secret->refresh) {
        refresh = json_pack("{s:I, s:o}", "version",
                            (json_int_t) secret->refresh_version, "expires",
                            ctl_json_time(ctl, secret->refresh_expires));
    }

    json_object_set_new(object, "refresh_token", refresh);
    json_object_set_new(object, "refreshed",
                        ctl_json_time(ctl, secret->refreshed));
    json_object_set_new(object, "failures",
                        json_integer((json_int_t) secret->failures));
    json_object_set_new(object, "attempt",
                        ctl_json_text(ctl_show_attempt(ctl, secret)));

    accounts = json_array();

    for (i = 0; i < shown->naccounts; i++) {
        ctl_json_append(accounts, json_string(shown->accounts[i]));
    }

    json_object_set_new(object, "accounts", accounts);
    json_object_set_new(object, "cooldown",
                        ctl_json_time(ctl,
                                      (shown->cooldown.writes + 999) / 1000));
    json_object_set_new(object, "cooldown_all",
                        ctl_json_time(ctl,
                                      (shown->cooldown.all + 999) / 1000));

    return object;
}


static json_t *
ctl_summary_json(ctl_t *ctl, const ctl_credential_t *credential,
    const ctl_state_t *state, uint64_t now)
{
    return json_pack("{s:s, s:s, s:s?, s:s?, s:s, s:o, s:o, s:I, s:o, s:o, "
                     "s:o, s:o, s:s?, s:s?}",
                     "credential", credential->name,
                     "state", state->state,
                     "reason", credential->reason,
                     "to_do", state->next,
                     "tier", credential->tier,
                     "limits", ctl_limits_json(ctl, &credential->limits),
                     "limits_all",
                     ctl_limits_json(ctl, &credential->limits_all),
                     "version", (json_int_t) credential->version,
                     "expires", ctl_json_time(ctl, credential->expires),
                     "expires_in", ctl_json_left(credential->expires, now),
                     "refresh_expires",
                     ctl_json_time(ctl, credential->refresh_expires),
                     "refresh_expires_in",
                     ctl_json_left(credential->refresh_expires, now),
                     "scope", credential->scope,
                     "fingerprint",
                     state->fingerprint[0] ? state->fingerprint : NULL);
}


/* Seconds to go, or null. */

static json_t *
ctl_json_left(uint64_t expires, uint64_t now)
{
    return expires ? json_integer((json_int_t) expires - (json_int_t) now)
                   : json_null();
}


static json_t *
ctl_json_time(ctl_t *ctl, uint64_t seconds)
{
    return seconds ? json_string(ctl_time(ctl, seconds)) : json_null();
}


/* "2026-11-24T10:00:00Z (in 3d 4h)" */

static const char *
ctl_expiry(ctl_t *ctl, uint64_t expires, uint64_t now)
{
    const char  *span;

    if (expires == 0) {
        return "not known";
    }

    span = ctl_span(ctl, (expires > now ? expires - now : now - expires)
                         * 1000);

    return ctl_format(ctl, "%s (%s%s%s)", ctl_time(ctl, expires),
                      expires > now ? "in " : "", span,
                      expires > now ? "" : " ago");
}


static void
ctl_line(const char *name, const char *value)
{
    if (value != NULL && *value != '\0') {
        printf("%-14s %s\n", name, value);
    }
}
