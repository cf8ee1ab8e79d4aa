
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl credential authorize": a user of Pinterest agrees in a browser,
 * and what the browser brings back is exchanged for tokens.
 */


#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include "ctl_credential.h"
#include "ctl_oauth.h"
#include "ctl_redirect.h"


#define CTL_AUTHORIZE_URL       "https://www.pinterest.com/oauth/"
#define CTL_AUTHORIZE_REDIRECT  "http://localhost:8085/"
#define CTL_AUTHORIZE_SCOPE     "ads:read,ads:write"
#define CTL_AUTHORIZE_NEEDED    "ads:write"
#define CTL_AUTHORIZE_LINE      16384
#define CTL_AUTHORIZE_STATE     16     /* bytes; twice as many digits */
#define CTL_AUTHORIZE_TRIES     10     /* a second apart, to keep tokens */


typedef struct {
    ctl_put_t           put;

    const char         *client_id;     /* as given, or as it is kept */
    const char         *client_secret;
    const char         *redirect_uri;
    const char         *scope;
    char                state[2 * CTL_AUTHORIZE_STATE + 1];

    ctl_oauth_t        *oauth;
    ctl_oauth_answer_t *answer;
} ctl_authorize_t;


static int ctl_authorize_run(ctl_t *ctl, ctl_authorize_t *auth);
static int ctl_authorize_options(ctl_t *ctl, ctl_authorize_t *auth);
static int ctl_authorize_client(ctl_t *ctl, ctl_authorize_t *auth);
static int ctl_authorize_kept(ctl_t *ctl, ctl_authorize_t *auth,
    const ctl_secret_t *secret);
static int ctl_authorize_ask(ctl_t *ctl, ctl_authorize_t *auth);
static int ctl_authorize_code(ctl_t *ctl, ctl_authorize_t *auth,
    const char **code);
static int ctl_authorize_state_is(const ctl_authorize_t *auth,
    const char *state);
static int ctl_authorize_exchange(ctl_t *ctl, ctl_authorize_t *auth,
    const char *code);
static int ctl_authorize_check(ctl_t *ctl, ctl_authorize_t *auth);
static int ctl_authorize_keep(ctl_t *ctl, ctl_authorize_t *auth);
static const char *ctl_authorize_encoded(ctl_t *ctl, const char *text);
static const char *ctl_authorize_again(ctl_t *ctl);
static const char *ctl_authorize_quote(ctl_t *ctl, const char *text);


const ctl_option_t  ctl_authorize_table[] = {

    { .name = "client-id", .arg = "ID", .help = "the app's id" },

    { .name = "client-secret-file", .arg = "FILE",
      .help = "the app's secret" },

    { .name = "redirect-uri", .arg = "URI",
      .help = "one of the app's; " CTL_AUTHORIZE_REDIRECT },

    { .name = "scope", .arg = "SCOPE",
      .help = "what to ask for; " CTL_AUTHORIZE_SCOPE },

    CTL_OAUTH_OPTIONS,

    { .name = NULL }
};


int
ctl_credential_authorize(ctl_t *ctl)
{
    int              rc;
    ctl_authorize_t  auth;

    memset(&auth, 0, sizeof(ctl_authorize_t));
    auth.put.name = ctl->args[0];

    rc = ctl_authorize_options(ctl, &auth);

    /* what could fail does before somebody has gone through a browser */

    if (rc == CTL_DONE) {
        rc = ctl_oauth_open(ctl, &auth.oauth);
    }

    if (rc == CTL_DONE) {
        rc = ctl_authorize_run(ctl, &auth);
        ctl_oauth_close(auth.oauth);
    }

    if (auth.answer != NULL) {
        ctl_oauth_answer_free(auth.answer);
    }

    pinaud_keyring_free(auth.put.ring);

    if (rc == CTL_DONE) {
        ctl_report(ctl, 0);
    }

    return rc;
}


static int
ctl_authorize_run(ctl_t *ctl, ctl_authorize_t *auth)
{
    int          rc;
    const char  *code;

    code = NULL;
    rc = ctl_authorize_client(ctl, auth);

    if (rc == CTL_DONE) {
        rc = ctl_authorize_ask(ctl, auth);
    }

    if (rc == CTL_DONE) {
        rc = ctl_authorize_code(ctl, auth, &code);
    }

    /* a connection may not have lasted as long as a person takes */

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_store_time(ctl, &auth->put.now);
    }

    if (rc == CTL_DONE) {
        rc = ctl_authorize_exchange(ctl, auth, code);
    }

    if (rc == CTL_DONE) {
        rc = ctl_authorize_check(ctl, auth);
    }

    if (rc == CTL_DONE) {
        rc = ctl_authorize_keep(ctl, auth);
    }

    return rc;
}


static int
ctl_authorize_options(ctl_t *ctl, ctl_authorize_t *auth)
{
    int          rc;
    const char  *text;

    rc = ctl_check_name("credential", auth->put.name);

    if (rc == CTL_DONE) {
        rc = ctl_put_client_id(ctl, &auth->put);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    text = ctl_given(ctl, "redirect-uri");
    auth->redirect_uri = text ? text : CTL_AUTHORIZE_REDIRECT;

    if ((strncmp(auth->redirect_uri, "https://", 8) != 0
         && strncmp(auth->redirect_uri, "http://", 7) != 0)
        || strchr(auth->redirect_uri, '#') != NULL)
    {
        return ctl_fail(CTL_USAGE, "--redirect-uri is an http or https URL, "
                        "as the app's page at Pinterest has it");
    }

    text = ctl_given(ctl, "scope");
    auth->scope = text ? text : CTL_AUTHORIZE_SCOPE;

    if (!ctl_oauth_scope_has(auth->scope, CTL_AUTHORIZE_NEEDED)) {
        return ctl_fail(CTL_USAGE, "--scope: without " CTL_AUTHORIZE_NEEDED
                        " no audience can be created");
    }

    text = ctl_given(ctl, "client-secret-file");

    if (text != NULL && strcmp(text, "-") == 0) {
        return ctl_fail(CTL_USAGE, "--client-secret-file: stdin is for what "
                        "the browser brings back");
    }

    rc = ctl_put_secret(ctl, &auth->put, "client-secret-file",
                        &auth->put.client_secret);

    if (rc == CTL_DONE && auth->put.ring == NULL) {
        rc = ctl_keyring_master(ctl, &auth->put.ring);
    }

    return rc;
}


/* The app, as given or as it is kept. */

static int
ctl_authorize_client(ctl_t *ctl, ctl_authorize_t *auth)
{
    int                rc;
    ctl_secret_t       secret;
    ctl_credential_t   credential;

    rc = ctl_store_open(ctl);

    if (rc == CTL_DONE) {
        rc = ctl_credential_read(ctl, auth->put.name, &credential);
    }

    if (rc == CTL_DONE) {
        rc = ctl_secret_record_read(ctl, auth->put.name, &secret);
    }

    ctl_store_close(ctl);

    if (rc != CTL_DONE) {
        return rc;
    }

    auth->client_id = auth->put.client_id ? auth->put.client_id
                                          : secret.client_id;
    auth->client_secret = auth->put.client_secret.text;

    if (auth->client_id == NULL
        || (auth->client_secret == NULL && !secret.client_secret))
    {
        return ctl_fail(CTL_REFUSED, "credential %s has no app yet: pinaudctl "
                        "credential authorize %s --client-id ID "
                        "--client-secret-file FILE", auth->put.name,
                        auth->put.name);
    }

    return auth->client_secret ? CTL_DONE
                               : ctl_authorize_kept(ctl, auth, &secret);
}


static int
ctl_authorize_kept(ctl_t *ctl, ctl_authorize_t *auth,
    const ctl_secret_t *secret)
{
    char    *text;
    size_t   len;

    if (ctl_unseal(ctl, auth->put.ring, PINAUD_DOMAIN_AGENT, "client-secret",
                   auth->put.name, 0, secret->sealed_client,
                   secret->sealed_client_len, &text, &len)
        != PINAUD_OPENED)
    {
        return ctl_fail(CTL_REFUSED, "the client secret of credential %s does "
                        "not open with this seal key file: add "
                        "--client-secret-file FILE", auth->put.name);
    }

    auth->client_secret = text;

    return CTL_DONE;
}


/* On stderr, since stdout is for the report. */

static int
ctl_authorize_ask(ctl_t *ctl, ctl_authorize_t *auth)
{
    unsigned       i;
    unsigned char  random[CTL_AUTHORIZE_STATE];

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return ctl_fail(CTL_REFUSED, "there are no random numbers");
    }

    for (i = 0; i < sizeof(random); i++) {
        snprintf(auth->state + 2 * i, 3, "%02x", random[i]);
    }

    fprintf(stderr,
            "Open this URL in a browser, as the user whose ad accounts are to "
            "be reached, and agree:\n\n%s?client_id=%s&redirect_uri=%s"
            "&response_type=code&scope=%s&state=%s\n\n"
            "The browser then goes to %s, and need not reach anything there.\n"
            "Copy that URL from the browser, paste it here and press Enter:\n",
            CTL_AUTHORIZE_URL, ctl_authorize_encoded(ctl, auth->client_id),
            ctl_authorize_encoded(ctl, auth->redirect_uri),
            ctl_authorize_encoded(ctl, auth->scope), auth->state,
            auth->redirect_uri);

    return CTL_DONE;
}


static const char *
ctl_authorize_encoded(ctl_t *ctl, const char *text)
{
    char  *encoded;

    encoded = ctl_alloc(ctl, 3 * strlen(text) + 1);
    (void) ctl_oauth_encode(encoded, text);

    return encoded;
}


static int
ctl_authorize_code(ctl_t *ctl, ctl_authorize_t *auth, const char **code)
{
    int              rc;
    char            *line;
    const char      *description, *wrong;
    ctl_redirect_t   redirect;

    rc = ctl_line_read(ctl, CTL_AUTHORIZE_LINE, &line);

    if (rc != CTL_DONE) {
        return rc;
    }

    wrong = ctl_redirect_read(line, &redirect);

    if (wrong != NULL) {
        return ctl_fail(CTL_REFUSED, "what was pasted %s. Nothing was "
                        "changed. %s", wrong, ctl_authorize_again(ctl));
    }

    /* somebody else's code would bring somebody else's account */

    if (!ctl_authorize_state_is(auth, redirect.state)) {
        return ctl_fail(CTL_REFUSED, "what was pasted does not belong to the "
                        "URL that was told (its state is another). Nothing "
                        "was changed. %s", ctl_authorize_again(ctl));
    }

    if (redirect.error != NULL) {
        description = redirect.description ? redirect.description : "";

        return ctl_fail(CTL_REFUSED, "Pinterest says %s%s%s. Nothing was "
                        "changed. %s",
                        ctl_printable(ctl, redirect.error,
                                      strlen(redirect.error)),
                        *description ? ": " : "",
                        ctl_printable(ctl, description, strlen(description)),
                        ctl_authorize_again(ctl));
    }

    *code = redirect.code;

    return CTL_DONE;
}


/* As long for any that is as long. */

static int
ctl_authorize_state_is(const ctl_authorize_t *auth, const char *state)
{
    size_t  len;

    len = strlen(auth->state);

    return state != NULL && strlen(state) == len
           && CRYPTO_memcmp(state, auth->state, len) == 0;
}


static int
ctl_authorize_exchange(ctl_t *ctl, ctl_authorize_t *auth, const char *code)
{
    void  *data;

    if (ctl_oauth_exchange(auth->oauth, auth->client_id, auth->client_secret,
                           code, auth->redirect_uri, NULL)
        != 0)
    {
        return ctl_fail(CTL_REFUSED, "out of memory");
    }

    do {
        auth->answer = ctl_oauth_wait(auth->oauth, 1000, -1, &data);
    } while (auth->answer == NULL);

    switch (auth->answer->outcome) {

    case CTL_OAUTH_GRANTED:
        return CTL_DONE;

    case CTL_OAUTH_WRONG_CLIENT:
        return ctl_fail(CTL_REFUSED, "%s. Nothing was changed. Compare them "
                        "with the app's page at Pinterest, and run: pinaudctl "
                        "credential authorize %s --client-id ID "
                        "--client-secret-file FILE", auth->answer->reason,
                        auth->put.name);

    case CTL_OAUTH_REFUSED:
        return ctl_fail(CTL_REFUSED, "%s. Nothing was changed. A code is good "
                        "once, and not for long; --redirect-uri has to be one "
                        "of the app's. %s", auth->answer->reason,
                        ctl_authorize_again(ctl));

    default:
        return ctl_fail(CTL_REFUSED, "%s. Nothing was changed. %s",
                        auth->answer->reason, ctl_authorize_again(ctl));
    }
}


/* Tokens that would be of no use are not kept, nor those that end soon. */

static int
ctl_authorize_check(ctl_t *ctl, ctl_authorize_t *auth)
{
    const char  *granted;

    /* RFC 6749, 5.1: an answer without a scope grants what was asked for */

    granted = auth->answer->scope[0] ? auth->answer->scope : auth->scope;

    if (!ctl_oauth_scope_has(granted, CTL_AUTHORIZE_NEEDED)) {
        return ctl_fail(CTL_REFUSED, "Pinterest granted %s, and not "
                        CTL_AUTHORIZE_NEEDED ", without which no audience can "
                        "be created. Nothing was changed. Look whether the "
                        "app may have it. %s", granted,
                        ctl_authorize_again(ctl));
    }

    if (auth->answer->refresh_len == 0) {
        return ctl_fail(CTL_REFUSED, "Pinterest sent no refresh token, and "
                        "the access token could not be renewed. Nothing was "
                        "changed. %s", ctl_authorize_again(ctl));
    }

    auth->put.scope = ctl_copy(ctl, granted, strlen(granted));

    return CTL_DONE;
}


static int
ctl_authorize_keep(ctl_t *ctl, ctl_authorize_t *auth)
{
    int                  rc;
    unsigned             n;
    uint64_t             expires;
    ctl_put_t           *put;
    ctl_oauth_answer_t  *answer;

    put = &auth->put;
    answer = auth->answer;

    put->token.text = answer->access;
    put->token.len = answer->access_len;
    put->refresh.text = answer->refresh;
    put->refresh.len = answer->refresh_len;
    put->expires_in = answer->expires_in;

    expires = ctl_oauth_refresh_expires(answer, put->now);
    put->refresh_expires_in = expires ? expires - put->now : 0;

    rc = ctl_put_store(ctl, put);

    /* they are nowhere else */

    for (n = 0; rc == CTL_STORE && n < CTL_AUTHORIZE_TRIES; n++) {
        sleep(1);

        ctl_store_close(ctl);
        rc = ctl_store_open(ctl);

        if (rc == CTL_DONE) {
            rc = ctl_put_store(ctl, put);
        }
    }

    if (rc != CTL_DONE) {
        return ctl_fail(rc, "Pinterest gave tokens that could not be kept. "
                        "%s", ctl_authorize_again(ctl));
    }

    return CTL_DONE;
}


static const char *
ctl_authorize_again(ctl_t *ctl)
{
    unsigned            i;
    const char         *text;
    const ctl_given_t  *given;

    text = ctl_format(ctl, "Begin anew: pinaudctl credential authorize %s",
                      ctl->args[0]);

    for (i = 0; i < ctl->ngiven; i++) {
        given = &ctl->given[i];

        if (given->option->arg != NULL) {
            text = ctl_format(ctl, "%s --%s %s", text, given->option->name,
                              ctl_authorize_quote(ctl, given->value));
        }
    }

    return text;
}


/* For a shell: a scope may have spaces. */

static const char *
ctl_authorize_quote(ctl_t *ctl, const char *text)
{
    char  *p, *quoted;

    if (*text != '\0'
        && text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789@%+=:,./_-")] == '\0')
    {
        return text;
    }

    quoted = ctl_alloc(ctl, 4 * strlen(text) + 3);
    p = quoted;
    *p++ = '\'';

    for ( /* void */ ; *text; text++) {
        if (*text == '\'') {
            p += strlen(strcpy(p, "'\\''"));

        } else {
            *p++ = *text;
        }
    }

    *p++ = '\'';
    *p = '\0';

    return quoted;
}
