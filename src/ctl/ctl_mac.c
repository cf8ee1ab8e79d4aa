
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * MACs of accounts and their teams. All that is written has them; what is read
 * without was written by somebody else, and no gateway goes by it.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl.h"
#include "pinaud_mac.h"
#include "pinaud_policy.h"


static ctl_team_t *ctl_mac_team_of(const ctl_account_t *account,
    const char *name);
static void ctl_mac_find(ctl_account_t *account, const redisReply *hash);
static unsigned ctl_mac_wrong(ctl_t *ctl, size_t (*data)(unsigned char *to,
    const pinaud_policy_field_t *fields), const pinaud_policy_field_t *fields,
    const redisReply *mac);
static const char *ctl_mac_make(ctl_t *ctl, size_t (*data)(unsigned char *to,
    const pinaud_policy_field_t *fields),
    const pinaud_policy_field_t *fields);
static void ctl_mac_text(pinaud_policy_field_t *field, const char *text);
static void ctl_mac_reply(pinaud_policy_field_t *field,
    const redisReply *reply);


int
ctl_mac_keys(ctl_t *ctl, int write)
{
    return write ? ctl_keyring_master(ctl, &ctl->ring)
                 : ctl_keyring(ctl, 0, &ctl->ring);
}


void
ctl_mac_check(ctl_t *ctl, const redisReply *hash, ctl_account_t *account)
{
    size_t                  i;
    ctl_team_t             *team;
    const redisReply       *name;
    pinaud_policy_field_t   fields[PINAUD_POLICY_FIELDS];

    ctl_mac_find(account, hash);

    if (ctl->ring == NULL) {
        return;
    }

    ctl_mac_text(&fields[0], account->id);
    ctl_mac_text(&fields[1], account->credential);
    ctl_mac_reply(&fields[2], ctl_record_field(hash, "limits"));
    ctl_mac_reply(&fields[3], ctl_record_field(hash, "reserved"));

    account->forged = ctl_mac_wrong(ctl, pinaud_policy_account, fields,
                                    account->mac);

    fields[2] = fields[1];

    for (i = 0; i + 1 < hash->elements; i += 2) {
        name = hash->element[i];

        if (strncmp(name->str, "team:", 5) == 0) {
            team = ctl_mac_team_of(account, name->str + 5);

            ctl_mac_text(&fields[1], team->name);
            ctl_mac_reply(&fields[3], hash->element[i + 1]);

            team->forged = ctl_mac_wrong(ctl, pinaud_policy_team, fields,
                                         team->mac);
        }
    }
}


const char *
ctl_mac_account(ctl_t *ctl, const ctl_account_t *account, const char *limits,
    const char *reserved)
{
    pinaud_policy_field_t  fields[PINAUD_POLICY_FIELDS];

    ctl_mac_text(&fields[0], account->id);
    ctl_mac_text(&fields[1], account->credential);
    ctl_mac_text(&fields[2], limits);
    ctl_mac_text(&fields[3], reserved);

    return ctl_mac_make(ctl, pinaud_policy_account, fields);
}


const char *
ctl_mac_team(ctl_t *ctl, const ctl_account_t *account, const char *team,
    const char *value)
{
    pinaud_policy_field_t  fields[PINAUD_POLICY_FIELDS];

    ctl_mac_text(&fields[0], account->id);
    ctl_mac_text(&fields[1], team);
    ctl_mac_text(&fields[2], account->credential);
    ctl_mac_text(&fields[3], value);

    return ctl_mac_make(ctl, pinaud_policy_team, fields);
}


unsigned
ctl_account_forged(const ctl_account_t *account)
{
    unsigned  i;

    for (i = 0; i < account->nteams; i++) {
        if (account->teams[i].forged) {
            return 1;
        }
    }

    return account->forged;
}


int
ctl_account_check(const ctl_account_t *account)
{
    if (!ctl_account_forged(account)) {
        return CTL_DONE;
    }

    return ctl_fail(CTL_REFUSED, "account %s was changed by something else "
                    "than pinaudctl, or with another seal key: \"pinaudctl "
                    "account show %s\" shows where, and \"pinaudctl policy "
                    "apply FILE\" puts right what FILE names", account->id,
                    account->id);
}


/* Of many: they were sorted when they were read. */

static ctl_team_t *
ctl_mac_team_of(const ctl_account_t *account, const char *name)
{
    ctl_team_t  team;

    if (account->nteams == 0) {
        return NULL;
    }

    team.name = name;

    return bsearch(&team, account->teams, account->nteams,
                   sizeof(ctl_team_t), ctl_team_compare);
}


static void
ctl_mac_find(ctl_account_t *account, const redisReply *hash)
{
    size_t             i;
    ctl_team_t        *team;
    const redisReply  *name;

    account->mac = ctl_record_field(hash, "mac");

    for (i = 0; i + 1 < hash->elements; i += 2) {
        name = hash->element[i];

        if (strncmp(name->str, "mac:", 4) == 0) {
            team = ctl_mac_team_of(account, name->str + 4);

            if (team != NULL) {
                team->mac = hash->element[i + 1];
            }
        }
    }
}


static unsigned
ctl_mac_wrong(ctl_t *ctl, size_t (*data)(unsigned char *to,
    const pinaud_policy_field_t *fields), const pinaud_policy_field_t *fields,
    const redisReply *mac)
{
    size_t         len;
    unsigned char  bytes[PINAUD_POLICY_DATA];

    len = data(bytes, fields);

    return len == 0 || mac == NULL
           || pinaud_mac_check(ctl->ring, bytes, len, mac->str,
                               (size_t) mac->len)
              != PINAUD_MAC_GOOD;
}


/* Empty where libcrypto fails, which a gateway refuses. */

static const char *
ctl_mac_make(ctl_t *ctl, size_t (*data)(unsigned char *to,
    const pinaud_policy_field_t *fields), const pinaud_policy_field_t *fields)
{
    char           mac[PINAUD_MAC_MAX];
    size_t         len;
    unsigned char  bytes[PINAUD_POLICY_DATA];

    len = data(bytes, fields);
    len = (len == 0) ? 0 : pinaud_mac(ctl->ring, bytes, len, mac);

    return ctl_copy(ctl, mac, len);
}


static void
ctl_mac_text(pinaud_policy_field_t *field, const char *text)
{
    field->text = text;
    field->len = strlen(text);
}


static void
ctl_mac_reply(pinaud_policy_field_t *field, const redisReply *reply)
{
    field->text = reply ? reply->str : NULL;
    field->len = reply ? (size_t) reply->len : 0;
}
