
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl credential": the commands, and delete.
 */


#include "ctl_credential.h"


static int ctl_credential_delete(ctl_t *ctl);
static int ctl_delete_plan(ctl_t *ctl, void *data);


static const ctl_option_t  ctl_put_table[] = {

    { .name = "access-token-file", .arg = "FILE",
      .help = "the access token; \"-\" for stdin" },

    { .name = "refresh-token-file", .arg = "FILE",
      .help = "the refresh token" },

    { .name = "client-id", .arg = "ID", .help = "the app's id" },

    { .name = "client-secret-file", .arg = "FILE",
      .help = "the app's secret" },

    { .name = "expires-in", .arg = "S",
      .help = "seconds until the access token expires" },

    { .name = "refresh-expires-in", .arg = "S",
      .help = "the same of the refresh token" },

    { .name = "limit", .arg = "N/W", .repeated = 1,
      .help = "at most N writes in any W, as 400/60s; or none" },

    { .name = "limit-all", .arg = "N/W", .repeated = 1,
      .help = "the same of all calls" },

    { .name = "tier", .arg = "TIER",
      .help = "standard (400/60s, all 100/1s), trial (300/1d)" },

    { .name = NULL }
};


static const ctl_option_t  ctl_refresh_table[] = {

    { .name = "force",
      .help = "take over an attempt whose host is gone for good" },

    { .name = "wait", .arg = "T", .help = "for how long; 30s" },

    { .name = NULL }
};


const ctl_command_t  ctl_credential_commands[] = {

    { .noun = "credential", .verb = "put", .args = "NAME",
      .min = 1, .max = 1, .options = ctl_put_table,
      .handler = ctl_credential_put,
      .summary = "Make or change a credential",
      .details =
"What is not named stays as it is. Secrets come from files or stdin, with one\n"
"newline at their end dropped, and are sealed with the first key of the seal\n"
"key file. A new access token begins a new version; its expiry is not known\n"
"unless it is told. --limit replaces all limits of its kind, at most 4;\n"
"\"--limit none\" takes them away, \"--limit 0/60s\" stops all writes. --tier\n"
"sets the limits that are not named; a new credential is standard." },

    { .noun = "credential", .verb = "authorize", .args = "NAME",
      .min = 1, .max = 1, .options = ctl_authorize_table,
      .handler = ctl_credential_authorize,
      .summary = "Get tokens by a user's consent in a browser",
      .details =
"Tells a URL on stderr, which a user of Pinterest opens and agrees to. The\n"
"URL that the browser goes to then is read from stdin, its code exchanged for\n"
"tokens, and these are sealed and kept. Of a credential that is there already\n"
"all else stays, and its app is known." },

    { .noun = "credential", .verb = "list", .args = "",
      .handler = ctl_credential_list,
      .summary = "List all credentials" },

    { .noun = "credential", .verb = "show", .args = "NAME",
      .min = 1, .max = 1, .handler = ctl_credential_show,
      .summary = "Show a credential, its state and what to do next",
      .details =
"No token is ever shown. With a seal key file, whether it opens the token is\n"
"checked and a fingerprint told: the first digits of the token's SHA-256." },

    { .noun = "credential", .verb = "refresh", .args = "NAME",
      .min = 1, .max = 1, .options = ctl_refresh_table,
      .handler = ctl_credential_refresh,
      .summary = "Have an agent fetch a new access token now",
      .details =
"Asks the agents, and waits for the new version or for why there is none." },

    { .noun = "credential", .verb = "delete", .args = "NAME",
      .min = 1, .max = 1, .handler = ctl_credential_delete,
      .summary = "Delete a credential that no account has",
      .details = "Its tokens are gone for good." },

    { .noun = NULL }
};


static int
ctl_credential_delete(ctl_t *ctl)
{
    int  rc;

    rc = ctl_check_name("credential", ctl->args[0]);

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_transact(ctl, ctl_delete_plan, NULL);
    }

    if (rc == CTL_DONE) {
        ctl_report(ctl, 0);
    }

    return rc;
}


static int
ctl_delete_plan(ctl_t *ctl, void *data)
{
    int                rc;
    unsigned           n;
    const char        *key, *name, **accounts;
    ctl_credential_t   before;

    (void) data;

    name = ctl->args[0];
    key = ctl_key(ctl, pinaud_key_credential_accounts, name);

    if (ctl_watch(ctl, key) != CTL_DONE
        || ctl_watch(ctl, ctl_key(ctl, pinaud_key_credential, name))
           != CTL_DONE)
    {
        return CTL_STORE;
    }

    rc = ctl_credential_read(ctl, name, &before);

    if (rc == CTL_DONE) {
        rc = ctl_members(ctl, key, pinaud_is_account, &accounts, &n);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    if (!before.exists) {
        return ctl_fail(CTL_REFUSED, "there is no credential %s", name);
    }

    if (n != 0) {
        return ctl_fail(CTL_REFUSED, "credential %s is used by %u account%s: "
                        "%s", name, n, n == 1 ? "" : "s",
                        ctl_some(ctl, accounts, n));
    }

    ctl_plan_credential(ctl, &before, NULL);

    return CTL_DONE;
}
