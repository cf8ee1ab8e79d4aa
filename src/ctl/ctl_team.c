
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl team": a team is what accounts say of it.
 */


#include <stdio.h>
#include <string.h>
#include "ctl.h"


static int ctl_team_put(ctl_t *ctl);
static int ctl_team_list(ctl_t *ctl);
static int ctl_team_delete(ctl_t *ctl);

static int ctl_team_change(ctl_t *ctl, int (*plan)(ctl_t *ctl, void *data),
    void *data);
static int ctl_team_put_plan(ctl_t *ctl, void *data);
static int ctl_team_delete_plan(ctl_t *ctl, void *data);
static int ctl_team_without_keys(ctl_t *ctl, const char *name);
static int ctl_team_left_keys(ctl_t *ctl, const char *name, const char *id,
    const char **left);
static int ctl_team_keys_of(ctl_t *ctl, const char *name, const char **text);
static int ctl_team_account(ctl_t *ctl, const char *id,
    ctl_account_t *account);
static int ctl_team_check_accounts(ctl_t *ctl);


static const ctl_option_t  ctl_team_put_table[] = {

    { .name = "account", .arg = "ID", .repeated = 1,
      .help = "an account that it may use" },

    { .name = "limit", .arg = "N/W", .repeated = 1,
      .help = "at most N writes in any W on each; or none" },

    { .name = "reserve", .arg = "N",
      .help = "N of the account's limit for it alone; or none" },

    { .name = NULL }
};


static const ctl_option_t  ctl_team_account_table[] = {

    { .name = "account", .arg = "ID", .help = "of this account only" },

    { .name = NULL }
};


const ctl_command_t  ctl_team_commands[] = {

    { .noun = "team", .verb = "put", .args = "NAME", .min = 1, .max = 1,
      .options = ctl_team_put_table, .handler = ctl_team_put,
      .summary = "Allow a team to use ad accounts, or change its limits",
      .details =
"Other accounts that the team has stay as they are, and so do its limits\n"
"where none is named. --limit replaces all limits of the team on these\n"
"accounts, at most 4. A team without limits has those of the account.\n"
"--reserve keeps N of the account's limit, in its longest window, for this\n"
"team; the others share what is left. What is reserved is not lent." },

    { .noun = "team", .verb = "list", .args = "",
      .options = ctl_team_account_table, .handler = ctl_team_list,
      .summary = "List all teams and their accounts" },

    { .noun = "team", .verb = "delete", .args = "NAME", .min = 1, .max = 1,
      .options = ctl_team_account_table, .handler = ctl_team_delete,
      .summary = "Take all accounts from a team, or one",
      .details = "Without --account it may have no keys." },

    { .noun = NULL }
};


static int
ctl_team_put(ctl_t *ctl)
{
    int              named, rc;
    unsigned         reserve;
    pinaud_limits_t  limits;

    if (ctl_given(ctl, "account") == NULL) {
        return ctl_fail(CTL_USAGE, "team put needs --account ID");
    }

    rc = ctl_limits_given(ctl, "limit", &limits, &named);

    if (rc == CTL_DONE) {
        rc = ctl_reserve_given(ctl, "reserve", &reserve, &named);
    }

    return (rc == CTL_DONE) ? ctl_team_change(ctl, ctl_team_put_plan, NULL)
                            : rc;
}


static int
ctl_team_delete(ctl_t *ctl)
{
    int          rc;
    const char  *left;

    left = NULL;
    rc = ctl_team_change(ctl, ctl_team_delete_plan, &left);

    if (rc == CTL_DONE && left != NULL) {
        fprintf(stderr, "%s. It has no account any more; should another team "
                "get its name, they would be that one's: \"pinaudctl team key "
                "revoke\" deletes them\n", left);
    }

    return rc;
}


static int
ctl_team_change(ctl_t *ctl, int (*plan)(ctl_t *ctl, void *data), void *data)
{
    int  rc;

    rc = ctl_check_name("team", ctl->args[0]);

    if (rc == CTL_DONE) {
        rc = ctl_team_check_accounts(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_mac_keys(ctl, 1);
    }

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_transact(ctl, plan, data);
    }

    if (rc == CTL_DONE) {
        ctl_report(ctl, 0);
    }

    return rc;
}


static int
ctl_team_check_accounts(ctl_t *ctl)
{
    int          rc;
    unsigned     i, k;
    const char  *id, *other;

    i = 0;

    while ((id = ctl_given_next(ctl, "account", &i)) != NULL) {

        rc = ctl_check_account(id);

        if (rc != CTL_DONE) {
            return rc;
        }

        k = i;

        while ((other = ctl_given_next(ctl, "account", &k)) != NULL) {
            if (strcmp(id, other) == 0) {
                return ctl_fail(CTL_USAGE, "--account %s is given twice", id);
            }
        }
    }

    return CTL_DONE;
}


static int
ctl_team_put_plan(ctl_t *ctl, void *data)
{
    int              limited, rc, reserving;
    unsigned         i, reserve;
    const char      *id;
    ctl_team_t      *team;
    ctl_account_t    after, before;
    pinaud_limits_t  limits;

    (void) data;

    rc = ctl_limits_given(ctl, "limit", &limits, &limited);

    if (rc == CTL_DONE) {
        rc = ctl_reserve_given(ctl, "reserve", &reserve, &reserving);
    }

    i = 0;

    while (rc == CTL_DONE && (id = ctl_given_next(ctl, "account", &i))) {

        rc = ctl_team_account(ctl, id, &before);

        if (rc == CTL_DONE) {
            rc = ctl_account_check(&before);
        }

        if (rc != CTL_DONE) {
            break;
        }

        ctl_account_copy(ctl, &after, &before, 1);
        team = ctl_account_put_team(&after, ctl->args[0]);

        if (limited) {
            team->limits = limits;
        }

        if (reserving) {
            team->reserve = reserve;
        }

        rc = ctl_plan_account_checked(ctl, &before, &after);
    }

    return rc;
}


static int
ctl_team_delete_plan(ctl_t *ctl, void *data)
{
    int             rc;
    unsigned        i, n;
    const char     *id, *name;
    const char    **left;
    ctl_account_t   after, *all;

    left = data;
    name = ctl->args[0];
    id = ctl_given(ctl, "account");

    if (id != NULL) {
        all = ctl_alloc(ctl, sizeof(ctl_account_t));
        n = 1;
        rc = ctl_team_account(ctl, id, all);

        if (rc == CTL_DONE) {
            rc = ctl_team_left_keys(ctl, name, id, left);
        }

    } else {
        rc = ctl_accounts_read(ctl, 1, &all, &n);

        if (rc == CTL_DONE) {
            rc = ctl_team_without_keys(ctl, name);
        }
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    for (i = 0; i < n; i++) {
        if (ctl_account_team(&all[i], name) != NULL) {
            ctl_account_copy(ctl, &after, &all[i], 0);
            ctl_account_drop_team(&after, name);
            ctl_plan_account(ctl, &all[i], &after);
        }
    }

    if (ctl_changed(ctl)) {
        return CTL_DONE;
    }

    return ctl_fail(CTL_REFUSED, "there is no team %s%s%s", name,
                    id ? " on account " : "", id ? id : "");
}


/* Keys of a team that is gone would be those of its next namesake. */

static int
ctl_team_without_keys(ctl_t *ctl, const char *name)
{
    int          rc;
    const char  *text;

    rc = ctl_watch(ctl, PINAUD_KEY_TEAM_KEYS);

    if (rc == CTL_DONE) {
        rc = ctl_team_keys_of(ctl, name, &text);
    }

    if (rc != CTL_DONE || text == NULL) {
        return rc;
    }

    return ctl_fail(CTL_REFUSED, "%s. \"pinaudctl team key revoke\" deletes "
                    "them", text);
}


/* One that has no account any more may be on its way to another. */

static int
ctl_team_left_keys(ctl_t *ctl, const char *name, const char *id,
    const char **left)
{
    int             rc;
    unsigned        i, n;
    ctl_account_t  *all;

    rc = ctl_team_keys_of(ctl, name, left);

    if (rc != CTL_DONE || *left == NULL) {
        return rc;
    }

    rc = ctl_accounts_read(ctl, 0, &all, &n);

    for (i = 0; rc == CTL_DONE && i < n; i++) {
        if (strcmp(all[i].id, id) != 0
            && ctl_account_team(&all[i], name) != NULL)
        {
            *left = NULL;
        }
    }

    return rc;
}


static int
ctl_team_keys_of(ctl_t *ctl, const char *name, const char **text)
{
    int              rc;
    unsigned         n;
    ctl_team_key_t  *keys;

    *text = NULL;
    rc = ctl_team_keys_read(ctl, name, &keys, &n);

    if (rc == CTL_DONE) {
        *text = ctl_team_keys_text(ctl, name, keys, n);
    }

    return rc;
}


/* An account that has to be there. */

static int
ctl_team_account(ctl_t *ctl, const char *id, ctl_account_t *account)
{
    int  rc;

    rc = ctl_watch(ctl, ctl_key(ctl, pinaud_key_account, id));

    if (rc == CTL_DONE) {
        rc = ctl_account_read(ctl, id, account);
    }

    if (rc == CTL_DONE && !account->exists) {
        return ctl_fail(CTL_REFUSED, "there is no account %s: \"pinaudctl "
                        "account put %s --credential NAME\" makes it", id,
                        id);
    }

    return rc;
}


static int
ctl_team_list(ctl_t *ctl)
{
    int             rc;
    json_t         *array;
    unsigned        i, k, n;
    const char     *id;
    ctl_team_t     *team;
    ctl_table_t    *table;
    ctl_account_t  *all;

    rc = ctl_team_check_accounts(ctl);

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    id = ctl_given(ctl, "account");

    if (id != NULL) {
        all = ctl_alloc(ctl, sizeof(ctl_account_t));
        n = 1;
        rc = ctl_account_read(ctl, id, all);

        if (rc == CTL_DONE && !all->exists) {
            return ctl_fail(CTL_REFUSED, "there is no account %s", id);
        }

    } else {
        rc = ctl_accounts_read(ctl, 0, &all, &n);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    array = json_array();
    table = ctl_table(ctl, "TEAM", "ACCOUNT", "LIMIT", "RESERVE", NULL);

    for (i = 0; i < n; i++) {
        for (k = 0; k < all[i].nteams; k++) {
            team = &all[i].teams[k];

            ctl_row(table, team->name, all[i].id,
                    ctl_limits_text(ctl, &team->limits),
                    ctl_reserve_text(ctl, team->reserve));
            ctl_json_append(array,
                json_pack("{s:s, s:s, s:o, s:I}", "team", team->name,
                          "account", all[i].id, "limits",
                          ctl_limits_json(ctl, &team->limits), "reserve",
                          (json_int_t) team->reserve));
        }
    }

    ctl_print(ctl, table, array);

    return CTL_DONE;
}
