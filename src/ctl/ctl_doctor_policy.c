
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl doctor": accounts and their teams, keys of teams.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl_doctor.h"


static int ctl_doctor_account(ctl_doctor_t *doctor, const char *id);
static int ctl_doctor_has_credential(const ctl_doctor_t *doctor,
    const char *name);
static int ctl_doctor_compare(const void *one, const void *two);


void
ctl_doctor_policy(ctl_doctor_t *doctor)
{
    int            good, rc;
    ctl_t         *ctl;
    unsigned       i, n, sound;
    const char    *heard, **ids;
    ctl_block_t   *mark;

    ctl = doctor->ctl;
    sound = 0;

    ctl_doctor_listen(doctor);
    rc = ctl_members(ctl, PINAUD_KEY_ACCOUNTS, pinaud_is_account, &ids, &n);
    heard = ctl_doctor_heard(doctor);

    if (rc != CTL_DONE) {
        ctl_finding(doctor, "accounts", CTL_GRADE_PROBLEM, NULL,
                    "not looked at: %s", heard);
        return;
    }

    for (i = 0; i < n; i++) {
        mark = ctl_pool_mark(ctl);
        good = ctl_doctor_account(doctor, ids[i]);

        /* what was found lives in the pool, too */

        if (good) {
            sound++;
            ctl_pool_release(ctl, mark);
        }
    }

    if (sound == n) {
        ctl_finding(doctor, "accounts", CTL_GRADE_OK, NULL, "%u", n);
    }
}


static int
ctl_doctor_account(ctl_doctor_t *doctor, const char *id)
{
    int             rc;
    ctl_t          *ctl;
    const char     *check, *heard;
    ctl_account_t   account;

    ctl = doctor->ctl;
    check = ctl_format(ctl, "account %s", id);

    ctl_doctor_listen(doctor);
    rc = ctl_account_read(ctl, id, &account);
    heard = ctl_doctor_heard(doctor);

    if (rc != CTL_DONE) {
        ctl_finding(doctor, check, CTL_GRADE_PROBLEM, "pinaudctl policy apply "
                    "FILE writes it anew, after DEL of what is damaged",
                    "%s", heard);
        return 0;
    }

    if (!account.exists) {
        ctl_finding(doctor, check, CTL_GRADE_WARNING,
                    ctl_format(ctl, "pinaudctl account put %s --credential "
                               "NAME", id),
                    "it is listed, and has no record");
        return 0;
    }

    if (!ctl_doctor_has_credential(doctor, account.credential)) {
        ctl_finding(doctor, check, CTL_GRADE_PROBLEM,
                    ctl_format(ctl, "pinaudctl account put %s --credential "
                               "NAME, or credential authorize %s", id,
                               account.credential),
                    "there is no credential %s", account.credential);
        return 0;
    }

    if (ctl_account_forged(&account)) {
        ctl_finding(doctor, check, CTL_GRADE_PROBLEM,
                    ctl_format(ctl, "pinaudctl account show %s, then "
                               "pinaudctl policy apply FILE", id),
                    "it was not written by pinaudctl, or with another seal "
                    "key: no gateway goes by it");
        return 0;
    }

    return 1;
}


void
ctl_doctor_team_keys(ctl_doctor_t *doctor)
{
    int              rc;
    ctl_t           *ctl;
    unsigned         i, n, sound;
    const char      *heard, *state;
    ctl_team_key_t  *keys;

    ctl = doctor->ctl;
    sound = 0;

    ctl_doctor_listen(doctor);
    rc = ctl_team_keys_read(ctl, NULL, &keys, &n);
    heard = ctl_doctor_heard(doctor);

    if (rc != CTL_DONE) {
        ctl_finding(doctor, "team keys", CTL_GRADE_WARNING, NULL,
                    "not looked at: %s", heard);
        return;
    }

    for (i = 0; i < n; i++) {
        state = ctl_team_key_state(ctl->ring, &keys[i]);

        if (strcmp(state, "damaged") != 0 && strcmp(state, "altered") != 0
            && strcmp(state, "unknown key") != 0)
        {
            sound++;
            continue;
        }

        ctl_finding(doctor, ctl_format(ctl, "team key %s", keys[i].prefix),
                    CTL_GRADE_PROBLEM,
                    ctl_format(ctl, "pinaudctl team key revoke %s, then "
                               "pinaudctl team key create %s",
                               keys[i].prefix, keys[i].damaged
                               ? "TEAM" : keys[i].team),
                    "%s: no gateway takes it", state);
    }

    if (sound == n) {
        ctl_finding(doctor, "team keys", CTL_GRADE_OK, NULL, "%u", n);
    }
}


static int
ctl_doctor_has_credential(const ctl_doctor_t *doctor, const char *name)
{
    /* all of them, where they could not be looked at */

    return doctor->names == NULL
           || bsearch(&name, doctor->names, doctor->nnames, sizeof(char *),
                      ctl_doctor_compare) != NULL;
}


static int
ctl_doctor_compare(const void *one, const void *two)
{
    return strcmp(*(const char *const *) one, *(const char *const *) two);
}
