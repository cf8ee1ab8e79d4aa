
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * From what is to what shall be: the changes to tell, the commands to queue.
 */


#include <string.h>
#include "ctl.h"


static void ctl_plan_account_deleted(ctl_t *ctl,
    const ctl_account_t *before);
static void ctl_plan_account_moved(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after);
static void ctl_plan_account_written(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after);
static void ctl_plan_teams(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after);
static void ctl_plan_team(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after, const ctl_team_t *team);
static void ctl_plan_mac(ctl_t *ctl, ctl_change_t *change, unsigned before,
    unsigned after);
static const char *ctl_plan_limits(ctl_t *ctl, int exists,
    const pinaud_limits_t *limits);


/*
 * Buckets stay: they end by themselves when idle, and what is made anew by
 * the same name goes on counting.
 */

ctl_change_t *
ctl_plan_credential(ctl_t *ctl, const ctl_credential_t *before,
    const ctl_credential_t *after)
{
    const char    *key, *name;
    ctl_words_t   *words;
    ctl_change_t  *change;

    name = before->name;
    key = ctl_key(ctl, pinaud_key_credential, name);

    if (after == NULL) {
        ctl_queue(ctl, ctl_words(ctl, "DEL", key,
                                 ctl_key(ctl, pinaud_key_secret, name),
                                 NULL));
        ctl_queue(ctl, ctl_words(ctl, "SREM", PINAUD_KEY_CREDENTIALS, name,
                                 NULL));

        /* gateways have seen it, and take no older one of this name */

        if (before->version) {
            ctl_queue(ctl, ctl_words(ctl, "SET",
                                     ctl_key(ctl, pinaud_key_version, name),
                                     ctl_number(ctl, before->version),
                                     NULL));
        }

        return ctl_change(ctl, "credential", name, NULL, "deleted");
    }

    change = ctl_change(ctl, "credential", name, NULL,
                        before->exists ? "changed" : "created");

    ctl_change_field(ctl, change, "tier", before->tier, after->tier);
    ctl_change_field(ctl, change, "limit",
                     ctl_plan_limits(ctl, before->exists, &before->limits),
                     ctl_limits_text(ctl, &after->limits));
    ctl_change_field(ctl, change, "limit-all",
                     ctl_plan_limits(ctl, before->exists,
                                     &before->limits_all),
                     ctl_limits_text(ctl, &after->limits_all));

    if (before->exists
        && strcmp(before->tier, after->tier) == 0
        && ctl_limits_equal(&before->limits, &after->limits)
        && ctl_limits_equal(&before->limits_all, &after->limits_all))
    {
        return change;
    }

    words = ctl_words(ctl, "HSET", key, "format", PINAUD_RECORD_FORMAT,
                      "tier", after->tier,
                      "limits", ctl_limits_record(ctl, &after->limits),
                      "limits_all", ctl_limits_record(ctl, &after->limits_all),
                      NULL);

    if (!before->exists) {
        ctl_word(ctl, words, "version");
        ctl_word(ctl, words, ctl_number(ctl, before->version));
        ctl_word(ctl, words, "expires");
        ctl_word(ctl, words, "0");
    }

    ctl_queue(ctl, ctl_words(ctl, "SADD", PINAUD_KEY_CREDENTIALS, name,
                             NULL));
    ctl_queue(ctl, words);

    return change;
}


int
ctl_plan_account_checked(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after)
{
    const char  *wrong;

    wrong = ctl_account_reserves_wrong(ctl, after);

    if (wrong != NULL) {
        return ctl_fail(CTL_REFUSED, "account %s: %s",
                        after->id, wrong);
    }

    ctl_plan_account(ctl, before, after);

    return CTL_DONE;
}


void
ctl_plan_account(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after)
{
    ctl_change_t  *change;

    if (after == NULL) {
        ctl_plan_account_deleted(ctl, before);
        return;
    }

    change = ctl_change(ctl, "account", before->id, NULL,
                        before->exists ? "changed" : "created");

    ctl_change_field(ctl, change, "credential", before->credential,
                     after->credential);
    ctl_change_field(ctl, change, "limit",
                     ctl_plan_limits(ctl, before->exists, &before->limits),
                     ctl_limits_text(ctl, &after->limits));
    ctl_plan_mac(ctl, change, before->forged, after->forged);

    ctl_plan_account_moved(ctl, before, after);
    ctl_plan_account_written(ctl, before, after);
    ctl_plan_teams(ctl, before, after);
}


static void
ctl_plan_account_moved(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after)
{
    const char  *id;

    id = before->id;

    if (before->exists) {

        if (strcmp(before->credential, after->credential) == 0) {
            return;
        }

        ctl_queue_move(ctl, before, after->credential);
        ctl_queue(ctl, ctl_words(ctl, "SREM",
            ctl_key(ctl, pinaud_key_credential_accounts, before->credential),
            id, NULL));
    }

    ctl_queue(ctl, ctl_words(ctl, "SADD", PINAUD_KEY_ACCOUNTS, id, NULL));
    ctl_queue(ctl, ctl_words(ctl, "SADD",
        ctl_key(ctl, pinaud_key_credential_accounts, after->credential), id,
        NULL));
}


/*
 * All that its MAC is made over is written at once. The sum of reserves is
 * part of it: gateways read a team's reserve only, and this.
 */

static void
ctl_plan_account_written(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after)
{
    uint64_t      sum;
    const char   *key, *limits, *reserved;
    ctl_words_t  *words;

    sum = ctl_account_reserves(after);

    if (before->exists
        && before->reserved == sum
        && before->forged == after->forged
        && strcmp(before->credential, after->credential) == 0
        && ctl_limits_equal(&before->limits, &after->limits))
    {
        return;
    }

    key = ctl_key(ctl, pinaud_key_account, before->id);
    limits = ctl_limits_record(ctl, &after->limits);
    reserved = sum ? ctl_number(ctl, sum) : "";

    words = ctl_words(ctl, "HSET", key, "format", PINAUD_RECORD_FORMAT,
                      "credential", after->credential, "limits", limits,
                      NULL);

    if (!after->forged) {
        ctl_word(ctl, words, "mac");
        ctl_word(ctl, words, ctl_mac_account(ctl, after, limits, reserved));
    }

    if (sum) {
        ctl_word(ctl, words, "reserved");
        ctl_word(ctl, words, reserved);
    }

    ctl_queue(ctl, words);

    if (sum == 0 && before->reserved) {
        ctl_queue(ctl, ctl_words(ctl, "HDEL", key, "reserved", NULL));
    }
}


static void
ctl_plan_account_deleted(ctl_t *ctl, const ctl_account_t *before)
{
    unsigned     i;
    const char  *id;

    id = before->id;

    for (i = 0; i < before->nteams; i++) {
        ctl_change(ctl, "team", before->teams[i].name, id, "deleted");
    }

    ctl_change(ctl, "account", id, NULL, "deleted");

    ctl_queue(ctl, ctl_words(ctl, "DEL",
                             ctl_key(ctl, pinaud_key_account, id), NULL));
    ctl_queue(ctl, ctl_words(ctl, "SREM", PINAUD_KEY_ACCOUNTS, id, NULL));
    ctl_queue(ctl, ctl_words(ctl, "SREM",
        ctl_key(ctl, pinaud_key_credential_accounts, before->credential), id,
        NULL));
}


static void
ctl_plan_teams(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after)
{
    unsigned           i;
    const char        *key;
    const ctl_team_t  *team;

    key = ctl_key(ctl, pinaud_key_account, before->id);

    for (i = 0; i < before->nteams; i++) {
        team = &before->teams[i];

        if (ctl_account_team(after, team->name) == NULL) {
            ctl_change(ctl, "team", team->name, before->id, "deleted");
            ctl_queue(ctl, ctl_words(ctl, "HDEL", key,
                ctl_format(ctl, "team:%s", team->name),
                ctl_format(ctl, "mac:%s", team->name), NULL));
        }
    }

    for (i = 0; i < after->nteams; i++) {
        ctl_plan_team(ctl, before, after, &after->teams[i]);
    }
}


static void
ctl_plan_team(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after, const ctl_team_t *team)
{
    char              *value;
    ctl_words_t       *words;
    ctl_change_t      *change;
    const ctl_team_t  *old;

    old = ctl_account_team(before, team->name);

    change = ctl_change(ctl, "team", team->name, before->id,
                        old ? "changed" : "created");
    ctl_change_field(ctl, change, "limit",
                     old ? ctl_limits_text(ctl, &old->limits) : NULL,
                     ctl_limits_text(ctl, &team->limits));
    ctl_change_field(ctl, change, "reserve",
                     old ? ctl_reserve_text(ctl, old->reserve) : NULL,
                     ctl_reserve_text(ctl, team->reserve));

    if (old != NULL) {
        ctl_plan_mac(ctl, change, old->forged, team->forged);

        if (old->reserve == team->reserve
            && old->forged == team->forged
            && ctl_limits_equal(&old->limits, &team->limits)
            && strcmp(before->credential, after->credential) == 0)
        {
            return;
        }
    }

    value = ctl_alloc(ctl, PINAUD_TEAM_TEXT);
    pinaud_team_write(&team->limits, team->reserve, value);

    words = ctl_words(ctl, "HSET",
                      ctl_key(ctl, pinaud_key_account, before->id),
                      ctl_format(ctl, "team:%s", team->name), value, NULL);

    if (!team->forged) {
        ctl_word(ctl, words, ctl_format(ctl, "mac:%s", team->name));
        ctl_word(ctl, words, ctl_mac_team(ctl, after, team->name, value));
    }

    ctl_queue(ctl, words);
}


static void
ctl_plan_mac(ctl_t *ctl, ctl_change_t *change, unsigned before,
    unsigned after)
{
    if (before && !after) {
        ctl_change_field(ctl, change, "mac", "wrong", "right");
    }
}


static const char *
ctl_plan_limits(ctl_t *ctl, int exists, const pinaud_limits_t *limits)
{
    return exists ? ctl_limits_text(ctl, limits) : NULL;
}


void
ctl_account_copy(ctl_t *ctl, ctl_account_t *to, const ctl_account_t *from,
    unsigned more)
{
    *to = *from;
    to->teams = ctl_alloc(ctl, sizeof(ctl_team_t) * (from->nteams + more));

    if (from->nteams) {
        memcpy(to->teams, from->teams, sizeof(ctl_team_t) * from->nteams);
    }
}


ctl_team_t *
ctl_account_put_team(ctl_account_t *account, const char *name)
{
    ctl_team_t  *team;

    team = ctl_account_team(account, name);

    if (team == NULL) {
        team = &account->teams[account->nteams++];
        memset(team, 0, sizeof(ctl_team_t));
        team->name = name;
    }

    return team;
}


void
ctl_account_drop_team(ctl_account_t *account, const char *name)
{
    ctl_team_t  *team;

    team = ctl_account_team(account, name);

    if (team != NULL) {
        account->nteams--;
        memmove(team, team + 1, sizeof(ctl_team_t)
                                * (size_t) (&account->teams[account->nteams]
                                            - team));
    }
}
