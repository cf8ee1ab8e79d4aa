
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl account"
 */


#include <stdio.h>
#include "ctl.h"


static int ctl_account_put(ctl_t *ctl);
static int ctl_account_list(ctl_t *ctl);
static int ctl_account_show(ctl_t *ctl);
static int ctl_account_delete(ctl_t *ctl);

static int ctl_account_change(ctl_t *ctl,
    int (*plan)(ctl_t *ctl, void *data));
static int ctl_account_put_plan(ctl_t *ctl, void *data);
static int ctl_account_delete_plan(ctl_t *ctl, void *data);
static void ctl_account_show_forged(ctl_t *ctl, const ctl_account_t *account);
static json_t *ctl_account_json(ctl_t *ctl, const ctl_account_t *account);


static const ctl_option_t  ctl_account_put_table[] = {

    { .name = "credential", .arg = "NAME",
      .help = "whose token its requests get" },

    { .name = "limit", .arg = "N/W", .repeated = 1,
      .help = "at most N writes in any W, as 300/60s; or none" },

    { .name = NULL }
};


const ctl_command_t  ctl_account_commands[] = {

    { .noun = "account", .verb = "put", .args = "ID", .min = 1, .max = 1,
      .options = ctl_account_put_table, .handler = ctl_account_put,
      .summary = "Make or change an ad account",
      .details =
"What is not named stays as it is; a new account needs --credential. --limit\n"
"replaces all limits, at most 4. What its teams reserve has to be part of the\n"
"N of its longest window. An account that gets another credential\n"
"takes along what it and its teams have used of their limits." },

    { .noun = "account", .verb = "list", .args = "",
      .handler = ctl_account_list, .summary = "List all ad accounts" },

    { .noun = "account", .verb = "show", .args = "ID", .min = 1, .max = 1,
      .handler = ctl_account_show,
      .summary = "Show an ad account and its teams" },

    { .noun = "account", .verb = "delete", .args = "ID", .min = 1, .max = 1,
      .handler = ctl_account_delete,
      .summary = "Delete an ad account that no team has" },

    { .noun = NULL }
};


static int
ctl_account_put(ctl_t *ctl)
{
    int              named, rc;
    const char      *credential;
    pinaud_limits_t  limits;

    credential = ctl_given(ctl, "credential");

    rc = credential ? ctl_check_name("credential", credential) : CTL_DONE;

    if (rc == CTL_DONE) {
        rc = ctl_limits_given(ctl, "limit", &limits, &named);
    }

    if (rc == CTL_DONE) {
        rc = ctl_check_account(ctl->args[0]);
    }

    if (rc == CTL_DONE) {
        rc = ctl_mac_keys(ctl, 1);
    }

    return (rc == CTL_DONE) ? ctl_account_change(ctl, ctl_account_put_plan)
                            : rc;
}


static int
ctl_account_delete(ctl_t *ctl)
{
    int  rc;

    rc = ctl_check_account(ctl->args[0]);

    return (rc == CTL_DONE) ? ctl_account_change(ctl, ctl_account_delete_plan)
                            : rc;
}


static int
ctl_account_change(ctl_t *ctl, int (*plan)(ctl_t *ctl, void *data))
{
    int  rc;

    rc = ctl_store_open(ctl);

    if (rc == CTL_DONE) {
        rc = ctl_transact(ctl, plan, NULL);
    }

    if (rc == CTL_DONE) {
        ctl_report(ctl, 0);
    }

    return rc;
}


static int
ctl_account_put_plan(ctl_t *ctl, void *data)
{
    int                named, rc;
    const char        *id, *name;
    ctl_account_t      after, before;
    pinaud_limits_t    limits;
    ctl_credential_t   credential;

    (void) data;

    id = ctl->args[0];

    if (ctl_watch(ctl, ctl_key(ctl, pinaud_key_account, id)) != CTL_DONE) {
        return CTL_STORE;
    }

    rc = ctl_account_read(ctl, id, &before);

    if (rc == CTL_DONE) {
        rc = ctl_account_check(&before);
    }

    if (rc == CTL_DONE) {
        rc = ctl_limits_given(ctl, "limit", &limits, &named);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    after = before;
    name = ctl_given(ctl, "credential");

    if (name != NULL) {
        after.credential = name;

    } else if (!before.exists) {
        return ctl_fail(CTL_USAGE, "account %s is new: it needs --credential "
                        "NAME", id);
    }

    if (ctl_watch(ctl, ctl_key(ctl, pinaud_key_credential, after.credential))
        != CTL_DONE)
    {
        return CTL_STORE;
    }

    rc = ctl_credential_read(ctl, after.credential, &credential);

    if (rc != CTL_DONE) {
        return rc;
    }

    if (!credential.exists) {
        return ctl_fail(CTL_REFUSED, "there is no credential %s: "
                        "\"pinaudctl credential put %s\" makes it",
                        after.credential, after.credential);
    }

    if (named) {
        after.limits = limits;
    }

    return ctl_plan_account_checked(ctl, &before, &after);
}


static int
ctl_account_delete_plan(ctl_t *ctl, void *data)
{
    int              rc;
    unsigned         i;
    const char      *id, **names;
    ctl_account_t    before;

    (void) data;

    id = ctl->args[0];

    if (ctl_watch(ctl, ctl_key(ctl, pinaud_key_account, id)) != CTL_DONE) {
        return CTL_STORE;
    }

    rc = ctl_account_read(ctl, id, &before);

    if (rc != CTL_DONE) {
        return rc;
    }

    if (!before.exists) {
        return ctl_fail(CTL_REFUSED, "there is no account %s", id);
    }

    if (before.nteams) {
        names = ctl_alloc(ctl, sizeof(char *) * before.nteams);

        for (i = 0; i < before.nteams; i++) {
            names[i] = before.teams[i].name;
        }

        return ctl_fail(CTL_REFUSED, "account %s is used by %u team%s: %s",
                        id, before.nteams, before.nteams == 1 ? "" : "s",
                        ctl_some(ctl, names, before.nteams));
    }

    ctl_plan_account(ctl, &before, NULL);

    return CTL_DONE;
}


static int
ctl_account_list(ctl_t *ctl)
{
    int             rc;
    json_t         *array;
    unsigned        i, n;
    ctl_table_t    *table;
    ctl_account_t  *all;

    rc = ctl_store_open(ctl);

    if (rc == CTL_DONE) {
        rc = ctl_accounts_read(ctl, 0, &all, &n);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    array = json_array();
    table = ctl_table(ctl, "ACCOUNT", "CREDENTIAL", "LIMIT", "TEAMS", NULL);

    for (i = 0; i < n; i++) {
        ctl_row(table, all[i].id, all[i].credential,
                ctl_limits_text(ctl, &all[i].limits),
                ctl_format(ctl, "%u", all[i].nteams));
        ctl_json_append(array, ctl_account_json(ctl, &all[i]));
    }

    ctl_print(ctl, table, array);

    return CTL_DONE;
}


static int
ctl_account_show(ctl_t *ctl)
{
    int             rc;
    unsigned        i;
    ctl_table_t    *table;
    ctl_account_t   account;

    rc = ctl_check_account(ctl->args[0]);

    if (rc == CTL_DONE) {
        rc = ctl_mac_keys(ctl, 0);
    }

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_account_read(ctl, ctl->args[0], &account);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    if (!account.exists) {
        return ctl_fail(CTL_REFUSED, "there is no account %s", ctl->args[0]);
    }

    if (ctl->json) {
        ctl_print_json(ctl_account_json(ctl, &account));
        return CTL_DONE;
    }

    printf("%-14s %s\n%-14s %s\n%-14s %s\n", "account", account.id,
           "credential", account.credential, "limit",
           ctl_limits_text(ctl, &account.limits));

    if (account.reserved) {
        printf("%-14s %u\n", "reserved", account.reserved);
    }

    ctl_account_show_forged(ctl, &account);

    if (account.nteams == 0) {
        printf("%-14s none\n", "teams");
        return CTL_DONE;
    }

    putchar('\n');
    table = ctl_table(ctl, "TEAM", "LIMIT", "RESERVE", NULL);

    for (i = 0; i < account.nteams; i++) {
        ctl_row(table, account.teams[i].name,
                ctl_limits_text(ctl, &account.teams[i].limits),
                ctl_reserve_text(ctl, account.teams[i].reserve));
    }

    ctl_print(ctl, table, NULL);

    return CTL_DONE;
}


/* What no gateway goes by. */

static void
ctl_account_show_forged(ctl_t *ctl, const ctl_account_t *account)
{
    unsigned      i, n;
    const char  **names;

    n = 0;
    names = ctl_alloc(ctl, sizeof(char *) * (account->nteams + 1));

    if (account->forged) {
        names[n++] = "account";
    }

    for (i = 0; i < account->nteams; i++) {
        if (account->teams[i].forged) {
            names[n++] = ctl_format(ctl, "team %s", account->teams[i].name);
        }
    }

    if (n) {
        printf("%-14s %s\n", "wrong mac", ctl_some(ctl, names, n));
    }
}


static json_t *
ctl_account_json(ctl_t *ctl, const ctl_account_t *account)
{
    json_t    *teams;
    unsigned   i;

    teams = json_array();

    for (i = 0; i < account->nteams; i++) {
        ctl_json_append(teams,
            json_pack("{s:s, s:o, s:I}", "team", account->teams[i].name,
                      "limits",
                      ctl_limits_json(ctl, &account->teams[i].limits),
                      "reserve", (json_int_t) account->teams[i].reserve));
    }

    return json_pack("{s:s, s:s, s:o, s:I, s:o}", "account", account->id,
                     "credential", account->credential, "limits",
                     ctl_limits_json(ctl, &account->limits), "reserved",
                     (json_int_t) account->reserved, "teams", teams);
}
