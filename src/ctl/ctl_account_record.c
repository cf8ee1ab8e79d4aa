
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * An account's record and the teams in it.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl_record.h"


static int ctl_account_teams(ctl_t *ctl, const char *key,
    const redisReply *hash, ctl_account_t *account);


int
ctl_account_read(ctl_t *ctl, const char *id, ctl_account_t *account)
{
    int          rc;
    uint64_t     reserved;
    const char  *key;
    redisReply  *hash;

    memset(account, 0, sizeof(ctl_account_t));
    account->id = id;

    key = ctl_key(ctl, pinaud_key_account, id);
    rc = ctl_record_hash(ctl, key, &hash);

    if (rc != CTL_DONE || hash == NULL) {
        return rc;
    }

    account->exists = 1;
    account->credential = ctl_record_text(hash, "credential");

    if (account->credential == NULL
        || !pinaud_is_name((const unsigned char *) account->credential,
                           strlen(account->credential)))
    {
        return ctl_record_bad(key, "credential");
    }

    if (ctl_record_number(key, hash, "reserved", &reserved)
        || ctl_record_limits(key, hash, "limits", &account->limits))
    {
        return CTL_STORE;
    }

    if (reserved > PINAUD_LIMIT_N_MAX) {
        return ctl_record_bad(key, "reserved");
    }

    account->reserved = (unsigned) reserved;

    rc = ctl_account_teams(ctl, key, hash, account);

    if (rc == CTL_DONE) {
        ctl_mac_check(ctl, hash, account);
    }

    return rc;
}


static int
ctl_account_teams(ctl_t *ctl, const char *key, const redisReply *hash,
    ctl_account_t *account)
{
    size_t             i;
    const char        *field;
    ctl_team_t        *team;
    const redisReply  *value;

    account->teams = ctl_alloc(ctl, sizeof(ctl_team_t) * hash->elements);

    for (i = 0; i + 1 < hash->elements; i += 2) {
        field = hash->element[i]->str;

        if (strncmp(field, "team:", 5) != 0) {
            continue;
        }

        team = &account->teams[account->nteams++];
        memset(team, 0, sizeof(ctl_team_t));
        team->name = field + 5;

        if (!pinaud_is_name((const unsigned char *) team->name,
                            (size_t) hash->element[i]->len - 5))
        {
            return ctl_fail(CTL_STORE, "%s has a team with a name that is "
                            "none", key);
        }

        value = hash->element[i + 1];

        if (pinaud_team_read(&team->limits, &team->reserve, value->str,
                             (size_t) value->len)
            != 0)
        {
            return ctl_record_bad(key, field);
        }
    }

    if (account->nteams) {
        qsort(account->teams, account->nteams, sizeof(ctl_team_t),
              ctl_team_compare);
    }

    return CTL_DONE;
}


ctl_team_t *
ctl_account_team(const ctl_account_t *account, const char *name)
{
    unsigned  i;

    for (i = 0; i < account->nteams; i++) {
        if (strcmp(account->teams[i].name, name) == 0) {
            return &account->teams[i];
        }
    }

    return NULL;
}


uint64_t
ctl_account_reserves(const ctl_account_t *account)
{
    uint64_t  sum;
    unsigned  i;

    sum = 0;

    for (i = 0; i < account->nteams; i++) {
        sum += account->teams[i].reserve;
    }

    return sum;
}


const char *
ctl_account_reserves_wrong(ctl_t *ctl, const ctl_account_t *account)
{
    uint64_t               sum;
    pinaud_limits_t        one;
    const pinaud_limit_t  *longest;

    sum = ctl_account_reserves(account);
    longest = pinaud_limits_longest(&account->limits);

    if (sum == 0 || (longest != NULL && sum <= longest->n)) {
        return NULL;
    }

    if (longest == NULL) {
        return ctl_format(ctl, "teams reserve %s of it, and it has no limit",
                          ctl_number(ctl, sum));
    }

    one.count = 1;
    one.limit[0] = *longest;

    return ctl_format(ctl, "teams reserve %s of it, and its limit is %s",
                      ctl_number(ctl, sum), ctl_limits_text(ctl, &one));
}


int
ctl_team_compare(const void *one, const void *two)
{
    return strcmp(((const ctl_team_t *) one)->name,
                  ((const ctl_team_t *) two)->name);
}
