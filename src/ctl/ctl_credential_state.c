
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * In which state a credential is, and what to do about it.
 */


#include <string.h>
#include <openssl/crypto.h>
#include "ctl_credential.h"


static void ctl_state_refresh(ctl_t *ctl, const ctl_credential_t *credential,
    const char *authorize, ctl_state_t *state);
static void ctl_state_open(ctl_t *ctl, const ctl_credential_t *credential,
    const char *authorize, pinaud_keyring_t *ring, ctl_state_t *state);


void
ctl_credential_state(ctl_t *ctl, const ctl_credential_t *credential,
    const ctl_secret_t *secret, uint64_t now, pinaud_keyring_t *ring,
    ctl_state_t *state)
{
    size_t                len;
    const char           *authorize;
    const unsigned char  *id;

    memset(state, 0, sizeof(ctl_state_t));
    authorize = ctl_authorize_command(ctl, credential->name, secret);

    if (credential->token == NULL) {
        state->state = "no token";
        state->next = authorize;
        return;
    }

    len = pinaud_sealed_by(credential->token, credential->token_len, &id);

    if (len == 0) {
        state->state = "damaged";
        state->next = authorize;
        return;
    }

    state->sealed_by = ctl_copy(ctl, (const char *) id, len);
    state->state = "ready";

    if (ring != NULL) {
        ctl_state_open(ctl, credential, authorize, ring, state);
    }

    if (state->next != NULL) {
        return;
    }

    if (credential->expires != 0 && credential->expires <= now) {
        state->state = "expired";
        state->next = authorize;
    }

    ctl_state_refresh(ctl, credential, authorize, state);
}


/* What the agents found. Nothing is worse than a token that is expired. */

static void
ctl_state_refresh(ctl_t *ctl, const ctl_credential_t *credential,
    const char *authorize, ctl_state_t *state)
{
    const char  *word;

    word = NULL;

    switch (credential->state) {

    case CTL_STATE_OK:
        return;

    case CTL_STATE_RETRYING:
        word = "retrying";
        break;

    case CTL_STATE_UNAUTHORIZED:
        word = "needs authorization";
        state->next = authorize;
        break;

    case CTL_STATE_WRONG_CLIENT:
        word = "wrong client";
        state->next = ctl_format(ctl, "pinaudctl credential put %s "
                                 "--client-id ID --client-secret-file FILE",
                                 credential->name);
    }

    if (strcmp(state->state, "ready") == 0) {
        state->state = word;
    }
}


static void
ctl_state_open(ctl_t *ctl, const ctl_credential_t *credential,
    const char *authorize, pinaud_keyring_t *ring, ctl_state_t *state)
{
    char           *token;
    size_t          len;
    pinaud_open_e   rc;

    rc = ctl_unseal(ctl, ring, PINAUD_DOMAIN_GATEWAY, "access",
                    credential->name, credential->version, credential->token,
                    credential->token_len, &token, &len);

    if (rc == PINAUD_OPENED) {
        ctl_fingerprint((unsigned char *) token, len, state->fingerprint);
        OPENSSL_cleanse(token, len);
        return;
    }

    if (rc == PINAUD_SEAL_UNKNOWN_KEY) {
        state->state = "unknown key";
        state->next = ctl_format(ctl, "add key %s to the seal key file, or: "
                                 "%s", state->sealed_by, authorize);
        return;
    }

    state->state = "does not open";
    state->next = ctl_format(ctl, "%s (the token is altered, of another "
                             "record, or the key by its id is another)",
                             authorize);
}


const char *
ctl_authorize_command(ctl_t *ctl, const char *name, const ctl_secret_t *secret)
{
    return ctl_format(ctl, "pinaudctl credential authorize %s%s", name,
                      secret != NULL
                      && (!secret->client_secret || secret->client_id == NULL)
                      ? " --client-id ID --client-secret-file FILE" : "");
}
