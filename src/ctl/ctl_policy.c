
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl policy": all limits, accounts and teams as one document.
 */


#include <stdio.h>
#include <string.h>
#include "ctl_policy.h"


/* What there is, read under watch. */

typedef struct {
    ctl_policy_t       policy;         /* of the file, where there is one */
    ctl_credential_t  *credentials;
    unsigned           ncredentials;
    ctl_account_t     *accounts;
    unsigned           naccounts;
} ctl_policy_state_t;


static int ctl_policy_export(ctl_t *ctl);
static void ctl_policy_warn(const ctl_policy_state_t *state);
static int ctl_policy_diff(ctl_t *ctl);
static int ctl_policy_apply(ctl_t *ctl);

static int ctl_policy_transact(ctl_t *ctl, int (*plan)(ctl_t *ctl, void *data),
    ctl_policy_state_t *state);
static int ctl_policy_state(ctl_t *ctl, void *data);
static int ctl_policy_apply_plan(ctl_t *ctl, void *data);
static int ctl_policy_diff_plan(ctl_t *ctl, void *data);
static int ctl_policy_check(ctl_t *ctl, ctl_policy_state_t *state);
static int ctl_policy_plan_credentials(ctl_t *ctl,
    ctl_policy_state_t *state);
static int ctl_policy_plan_accounts(ctl_t *ctl, ctl_policy_state_t *state);
static void ctl_policy_keep_teams(ctl_t *ctl, ctl_policy_state_t *state,
    const ctl_account_t *before, ctl_account_t *after);
static int ctl_policy_prune(ctl_t *ctl, ctl_policy_state_t *state);
static int ctl_policy_prune_keys(ctl_t *ctl, ctl_policy_state_t *state);
static int ctl_policy_has_team(const ctl_account_t *all, unsigned n,
    const char *name);
static ctl_credential_t *ctl_policy_credential_of(ctl_credential_t *all,
    unsigned n, const char *name);
static ctl_account_t *ctl_policy_account_of(ctl_account_t *all, unsigned n,
    const char *id);


static const ctl_option_t  ctl_policy_table[] = {

    { .name = "prune",
      .help = "delete accounts and teams that FILE does not name" },

    { .name = NULL }
};


const ctl_command_t  ctl_policy_commands[] = {

    { .noun = "policy", .verb = "export", .args = "",
      .handler = ctl_policy_export,
      .summary = "Print all limits, accounts and teams as JSON",
      .details =
"Nothing secret is in it; \"policy apply\" takes it." },

    { .noun = "policy", .verb = "diff", .args = "FILE", .min = 1, .max = 1,
      .options = ctl_policy_table, .handler = ctl_policy_diff,
      .summary = "Tell what \"policy apply\" would change",
      .details =
"Exit code 0: nothing, 1: something, or the file is refused." },

    { .noun = "policy", .verb = "apply", .args = "FILE", .min = 1, .max = 1,
      .options = ctl_policy_table, .handler = ctl_policy_apply,
      .summary = "Change limits, accounts and teams to what FILE says",
      .details =
"All at once or nothing at all; in a cluster record by record, and what is\n"
"cut off is mended by doing it again. What FILE does not name stays, unless\n"
"--prune is given; credentials stay even then, since they hold secrets. A\n"
"credential that is not there yet is made, without a token." },

    { .noun = NULL }
};


static int
ctl_policy_export(ctl_t *ctl)
{
    int                 rc;
    ctl_policy_state_t  state;

    memset(&state, 0, sizeof(ctl_policy_state_t));

    rc = ctl_mac_keys(ctl, 0);

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_transact(ctl, ctl_policy_state, &state);
    }

    if (rc == CTL_DONE) {
        ctl_policy_warn(&state);
        ctl_print_json(ctl_policy_document(ctl, state.credentials,
                                           state.ncredentials, state.accounts,
                                           state.naccounts));
    }

    return rc;
}


/* What is exported may be what somebody else wrote. */

static void
ctl_policy_warn(const ctl_policy_state_t *state)
{
    unsigned  i;

    for (i = 0; i < state->naccounts; i++) {
        if (ctl_account_forged(&state->accounts[i])) {
            fprintf(stderr, "account %s was changed by something else than "
                    "pinaudctl, or with another seal key: read it before you "
                    "apply it\n", state->accounts[i].id);
        }
    }
}


static int
ctl_policy_diff(ctl_t *ctl)
{
    int                 rc;
    ctl_policy_state_t  state;

    rc = ctl_policy_transact(ctl, ctl_policy_diff_plan, &state);

    if (rc == CTL_DONE) {
        ctl_report(ctl, 1);
        rc = ctl_changed(ctl) ? CTL_REFUSED : CTL_DONE;
    }

    json_decref(state.policy.document);

    return rc;
}


static int
ctl_policy_apply(ctl_t *ctl)
{
    int                 rc;
    ctl_policy_state_t  state;

    rc = ctl_policy_transact(ctl, ctl_policy_apply_plan, &state);

    if (rc == CTL_DONE) {
        ctl_report(ctl, 0);
    }

    json_decref(state.policy.document);

    return rc;
}


static int
ctl_policy_transact(ctl_t *ctl, int (*plan)(ctl_t *ctl, void *data),
    ctl_policy_state_t *state)
{
    int  rc;

    rc = ctl_policy_read(ctl, ctl->args[0], &state->policy);

    if (rc == CTL_DONE) {
        rc = ctl_mac_keys(ctl, 1);
    }

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    return (rc == CTL_DONE) ? ctl_transact(ctl, plan, state) : rc;
}


static int
ctl_policy_state(ctl_t *ctl, void *data)
{
    int                  rc;
    ctl_policy_state_t  *state;

    state = data;

    rc = ctl_credentials_read(ctl, 1, &state->credentials,
                              &state->ncredentials);

    if (rc == CTL_DONE) {
        rc = ctl_accounts_read(ctl, 1, &state->accounts, &state->naccounts);
    }

    return rc;
}


static int
ctl_policy_apply_plan(ctl_t *ctl, void *data)
{
    int  rc;

    rc = ctl_policy_state(ctl, data);

    if (rc == CTL_DONE) {
        rc = ctl_policy_check(ctl, data);
    }

    if (rc == CTL_DONE) {
        rc = ctl_policy_plan_credentials(ctl, data);
    }

    if (rc == CTL_DONE) {
        rc = ctl_policy_plan_accounts(ctl, data);
    }

    if (rc == CTL_DONE && ctl_given(ctl, "prune") != NULL) {
        rc = ctl_policy_prune(ctl, data);
    }

    return rc;
}


/* The same, and then none of it is done. */

static int
ctl_policy_diff_plan(ctl_t *ctl, void *data)
{
    int  rc;

    rc = ctl_policy_apply_plan(ctl, data);
    ctl_queue_drop(ctl);

    return rc;
}


/* What a file cannot tell by itself. */

static int
ctl_policy_check(ctl_t *ctl, ctl_policy_state_t *state)
{
    unsigned        i;
    ctl_policy_t   *policy;
    ctl_account_t  *account;

    policy = &state->policy;

    for (i = 0; i < policy->naccounts; i++) {
        account = &policy->accounts[i];

        if (ctl_policy_credential_of(policy->credentials,
                                     policy->ncredentials,
                                     account->credential)
            == NULL
            && ctl_policy_credential_of(state->credentials,
                                        state->ncredentials,
                                        account->credential)
               == NULL)
        {
            ctl_policy_error(policy,
                             ctl_format(ctl, "/accounts/%s/credential",
                                        account->id),
                             "is no credential, neither here nor in Redis");
        }
    }

    return ctl_policy_errors(policy);
}


static int
ctl_policy_plan_credentials(ctl_t *ctl, ctl_policy_state_t *state)
{
    unsigned           i;
    ctl_credential_t   after, before, *wanted, *there;

    for (i = 0; i < state->policy.ncredentials; i++) {

        wanted = &state->policy.credentials[i];
        there = ctl_policy_credential_of(state->credentials,
                                         state->ncredentials, wanted->name);

        if (there != NULL) {
            before = *there;

        } else {
            memset(&before, 0, sizeof(ctl_credential_t));
            before.name = wanted->name;

            if (ctl_credential_version_read(ctl, &before) != CTL_DONE) {
                return CTL_STORE;
            }
        }

        after = before;
        after.tier = wanted->tier;
        after.limits = wanted->limits;
        after.limits_all = wanted->limits_all;

        ctl_plan_credential(ctl, &before, &after);
    }

    return CTL_DONE;
}


static int
ctl_policy_plan_accounts(ctl_t *ctl, ctl_policy_state_t *state)
{
    unsigned        i;
    const char     *wrong;
    ctl_account_t   after, before, *there, *wanted;

    for (i = 0; i < state->policy.naccounts; i++) {

        wanted = &state->policy.accounts[i];
        there = ctl_policy_account_of(state->accounts, state->naccounts,
                                      wanted->id);

        if (there != NULL) {
            before = *there;

        } else {
            memset(&before, 0, sizeof(ctl_account_t));
            before.id = wanted->id;
        }

        ctl_account_copy(ctl, &after, wanted, before.nteams);

        if (ctl_given(ctl, "prune") == NULL) {
            ctl_policy_keep_teams(ctl, state, &before, &after);
        }

        wrong = ctl_account_reserves_wrong(ctl, &after);

        if (wrong != NULL) {
            ctl_policy_error(&state->policy,
                             ctl_format(ctl, "/accounts/%s/limits", after.id),
                             wrong);
        }

        ctl_plan_account(ctl, &before, &after);
    }

    return ctl_policy_errors(&state->policy);
}


/* A team that the file does not name stays, but not one that was forged. */

static void
ctl_policy_keep_teams(ctl_t *ctl, ctl_policy_state_t *state,
    const ctl_account_t *before, ctl_account_t *after)
{
    unsigned           i;
    ctl_team_t        *team;
    const ctl_team_t  *old;

    for (i = 0; i < before->nteams; i++) {
        old = &before->teams[i];

        if (ctl_account_team(after, old->name) != NULL) {
            continue;
        }

        team = ctl_account_put_team(after, old->name);
        team->limits = old->limits;
        team->reserve = old->reserve;

        if (old->forged) {
            ctl_policy_error(&state->policy,
                             ctl_format(ctl, "/accounts/%s/teams", after->id),
                             ctl_format(ctl, "do not name %s, which has a "
                                        "wrong MAC in Redis: name it, or "
                                        "delete it with --prune", old->name));
        }
    }
}


static int
ctl_policy_prune(ctl_t *ctl, ctl_policy_state_t *state)
{
    unsigned       i;
    const char    *name;
    ctl_policy_t  *policy;

    policy = &state->policy;

    for (i = 0; i < state->naccounts; i++) {
        if (ctl_policy_account_of(policy->accounts, policy->naccounts,
                                  state->accounts[i].id)
            == NULL)
        {
            ctl_plan_account(ctl, &state->accounts[i], NULL);
        }
    }

    for (i = 0; i < state->ncredentials; i++) {
        name = state->credentials[i].name;

        if (ctl_policy_credential_of(policy->credentials,
                                     policy->ncredentials, name)
            == NULL)
        {
            fprintf(stderr, "%s: credential %s is not named and stays: "
                    "\"pinaudctl credential delete %s\" deletes it\n",
                    policy->file, name, name);
        }
    }

    return ctl_policy_prune_keys(ctl, state);
}


/* Keys of a team that is gone would be those of its next namesake. */

static int
ctl_policy_prune_keys(ctl_t *ctl, ctl_policy_state_t *state)
{
    int              rc;
    unsigned         i, n;
    const char      *team, *text;
    ctl_policy_t    *policy;
    ctl_team_key_t  *keys;

    policy = &state->policy;
    rc = ctl_watch(ctl, PINAUD_KEY_TEAM_KEYS);

    if (rc == CTL_DONE) {
        rc = ctl_team_keys_read(ctl, NULL, &keys, &n);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    /* they are in order: each team is looked at once */

    for (i = 0; i < n; i++) {
        team = keys[i].team;

        if ((i > 0 && strcmp(keys[i - 1].team, team) == 0)
            || !ctl_policy_has_team(state->accounts, state->naccounts, team)
            || ctl_policy_has_team(policy->accounts, policy->naccounts, team))
        {
            continue;
        }

        text = ctl_team_keys_text(ctl, team, keys, n);
        ctl_policy_error(policy, "/accounts",
                         ctl_format(ctl, "%s, and no account here: name it, "
                                    "or delete them by \"pinaudctl team key "
                                    "revoke\"", text));
    }

    return ctl_policy_errors(policy);
}


static int
ctl_policy_has_team(const ctl_account_t *all, unsigned n, const char *name)
{
    unsigned  i;

    for (i = 0; i < n; i++) {
        if (ctl_account_team(&all[i], name) != NULL) {
            return 1;
        }
    }

    return 0;
}


static ctl_credential_t *
ctl_policy_credential_of(ctl_credential_t *all, unsigned n, const char *name)
{
    unsigned  i;

    for (i = 0; i < n; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return &all[i];
        }
    }

    return NULL;
}


static ctl_account_t *
ctl_policy_account_of(ctl_account_t *all, unsigned n, const char *id)
{
    unsigned  i;

    for (i = 0; i < n; i++) {
        if (strcmp(all[i].id, id) == 0) {
            return &all[i];
        }
    }

    return NULL;
}
