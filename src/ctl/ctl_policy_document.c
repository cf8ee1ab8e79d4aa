
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A policy's document, read and written.
 */


#include <stdio.h>
#include <string.h>
#include "ctl_policy.h"


/* Where in the document: what ctl_policy_* functions share. */

typedef struct {
    ctl_t         *ctl;
    ctl_policy_t  *policy;
} ctl_reader_t;


static json_t *ctl_policy_load(ctl_t *ctl, const char *file,
    ctl_policy_t *policy);
static int ctl_policy_object(ctl_reader_t *reader, json_t *value,
    const char *at, const char *const *members);
static void ctl_policy_credentials(ctl_reader_t *reader, json_t *object);
static void ctl_policy_credential(ctl_reader_t *reader, const char *at,
    const char *name, json_t *value);
static void ctl_policy_accounts(ctl_reader_t *reader, json_t *object);
static void ctl_policy_account(ctl_reader_t *reader, const char *at,
    const char *id, json_t *value);
static void ctl_policy_teams(ctl_reader_t *reader, const char *at,
    json_t *object, ctl_account_t *account);
static unsigned ctl_policy_reserve(ctl_reader_t *reader, const char *at,
    json_t *team);
static int ctl_policy_limits(ctl_reader_t *reader, const char *at,
    json_t *parent, const char *member, pinaud_limits_t *limits);
static const char *ctl_policy_at(ctl_reader_t *reader, const char *at,
    const char *member);


int
ctl_policy_read(ctl_t *ctl, const char *file, ctl_policy_t *policy)
{
    json_t        *format;
    ctl_reader_t   reader;

    static const char  *const members[] = {
        "format", "credentials", "accounts", NULL
    };

    memset(policy, 0, sizeof(ctl_policy_t));
    policy->file = (strcmp(file, "-") == 0) ? "stdin" : file;

    reader.ctl = ctl;
    reader.policy = policy;

    policy->document = ctl_policy_load(ctl, file, policy);

    if (policy->document == NULL) {
        return CTL_REFUSED;
    }

    if (ctl_policy_object(&reader, policy->document, "", members)) {
        format = json_object_get(policy->document, "format");

        if (json_integer_value(format) != CTL_POLICY_FORMAT) {
            ctl_policy_error(policy, "/format", "must be 1");
        }

        ctl_policy_credentials(&reader, json_object_get(policy->document,
                                                        "credentials"));
        ctl_policy_accounts(&reader, json_object_get(policy->document,
                                                     "accounts"));
    }

    return ctl_policy_errors(policy);
}


int
ctl_policy_errors(const ctl_policy_t *policy)
{
    if (policy->errors == 0) {
        return CTL_DONE;
    }

    return ctl_fail(CTL_REFUSED, "%s: %u error%s, nothing was changed",
                    policy->file, policy->errors,
                    policy->errors == 1 ? "" : "s");
}


void
ctl_policy_error(ctl_policy_t *policy, const char *pointer, const char *text)
{
    policy->errors++;
    fprintf(stderr, "%s: %s: %s\n", policy->file, *pointer ? pointer : "/",
            text);
}


static json_t *
ctl_policy_load(ctl_t *ctl, const char *file, ctl_policy_t *policy)
{
    char          *text;
    size_t         len;
    json_t        *document;
    json_error_t   error;

    if (ctl_file_read(ctl, file, CTL_FILE_MAX, &text, &len) != CTL_DONE) {
        return NULL;
    }

    document = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

    if (document == NULL) {
        ctl_fail(CTL_REFUSED, "%s:%d:%d: %s", policy->file, error.line,
                 error.column,
                 ctl_printable(ctl, error.text, strlen(error.text)));
    }

    return document;
}


/* Whether it is an object; members that it may not have are told. */

static int
ctl_policy_object(ctl_reader_t *reader, json_t *value, const char *at,
    const char *const *members)
{
    json_t      *member;
    unsigned     i;
    const char  *name;

    if (!json_is_object(value)) {
        ctl_policy_error(reader->policy, at, "must be an object");
        return 0;
    }

    json_object_foreach(value, name, member) {
        for (i = 0; members[i] && strcmp(members[i], name) != 0; i++) {
            /* void */
        }

        if (members[i] == NULL) {
            ctl_policy_error(reader->policy, ctl_policy_at(reader, at, name),
                             "is no member of a policy");
        }
    }

    return 1;
}


static void
ctl_policy_credentials(ctl_reader_t *reader, json_t *object)
{
    json_t        *value;
    const char    *at, *name;
    ctl_policy_t  *policy;

    policy = reader->policy;

    if (!json_is_object(object)) {
        ctl_policy_error(policy, "/credentials", "must be an object");
        return;
    }

    policy->credentials = ctl_alloc(reader->ctl, sizeof(ctl_credential_t)
                                                 * json_object_size(object));

    json_object_foreach(object, name, value) {
        at = ctl_policy_at(reader, "/credentials", name);
        ctl_policy_credential(reader, at, name, value);
    }
}


/* Limits that are not there are those of the tier. */

static void
ctl_policy_credential(ctl_reader_t *reader, const char *at, const char *name,
    json_t *value)
{
    int                limits, limits_all;
    const char        *tier;
    json_t            *member;
    pinaud_limits_t    all, writes;
    ctl_credential_t  *credential;

    static const char  *const members[] = {
        "tier", "limits", "limits_all", NULL
    };

    if (!pinaud_is_name((const unsigned char *) name, strlen(name))) {
        ctl_policy_error(reader->policy, at, "is no name of a credential");
        return;
    }

    if (!ctl_policy_object(reader, value, at, members)) {
        return;
    }

    credential = &reader->policy->credentials[reader->policy->ncredentials++];
    credential->name = name;

    limits = ctl_policy_limits(reader, at, value, "limits", &writes);
    limits_all = ctl_policy_limits(reader, at, value, "limits_all", &all);

    member = json_object_get(value, "tier");
    tier = member ? json_string_value(member)
                  : limits ? "custom" : "standard";

    if (tier == NULL
        || (strcmp(tier, "custom") != 0
            && !ctl_limits_tier(tier, &credential->limits,
                                &credential->limits_all)))
    {
        ctl_policy_error(reader->policy, ctl_policy_at(reader, at, "tier"),
                         "must be standard, trial or custom");
        return;
    }

    credential->tier = tier;

    if (limits) {
        credential->limits = writes;
    }

    if (limits_all) {
        credential->limits_all = all;
    }

    if (strcmp(tier, "custom") == 0 && !(limits && limits_all)) {
        ctl_policy_error(reader->policy, at,
                         "must have limits and limits_all: its tier is "
                         "custom");
    }
}


static void
ctl_policy_accounts(ctl_reader_t *reader, json_t *object)
{
    json_t        *value;
    const char    *at, *id;
    ctl_policy_t  *policy;

    policy = reader->policy;

    if (!json_is_object(object)) {
        ctl_policy_error(policy, "/accounts", "must be an object");
        return;
    }

    policy->accounts = ctl_alloc(reader->ctl, sizeof(ctl_account_t)
                                              * json_object_size(object));

    json_object_foreach(object, id, value) {
        at = ctl_policy_at(reader, "/accounts", id);
        ctl_policy_account(reader, at, id, value);
    }
}


static void
ctl_policy_account(ctl_reader_t *reader, const char *at, const char *id,
    json_t *value)
{
    const char     *name;
    ctl_account_t  *account;

    static const char  *const members[] = {
        "credential", "limits", "teams", NULL
    };

    if (!pinaud_is_account((const unsigned char *) id, strlen(id))) {
        ctl_policy_error(reader->policy, at, "is no id of an account");
        return;
    }

    if (!ctl_policy_object(reader, value, at, members)) {
        return;
    }

    account = &reader->policy->accounts[reader->policy->naccounts++];
    account->id = id;

    name = json_string_value(json_object_get(value, "credential"));

    if (name == NULL
        || !pinaud_is_name((const unsigned char *) name, strlen(name)))
    {
        ctl_policy_error(reader->policy,
                         ctl_policy_at(reader, at, "credential"),
                         "must be the name of a credential");
    }

    account->credential = name;

    ctl_policy_limits(reader, at, value, "limits", &account->limits);
    ctl_policy_teams(reader, ctl_policy_at(reader, at, "teams"),
                     json_object_get(value, "teams"), account);
}


static void
ctl_policy_teams(ctl_reader_t *reader, const char *at, json_t *object,
    ctl_account_t *account)
{
    json_t      *value;
    const char  *name, *where;
    ctl_team_t  *team;

    static const char  *const members[] = { "limits", "reserve", NULL };

    if (object == NULL) {
        return;
    }

    if (!json_is_object(object)) {
        ctl_policy_error(reader->policy, at, "must be an object");
        return;
    }

    account->teams = ctl_alloc(reader->ctl, sizeof(ctl_team_t)
                                            * json_object_size(object));

    json_object_foreach(object, name, value) {
        where = ctl_policy_at(reader, at, name);

        if (!pinaud_is_name((const unsigned char *) name, strlen(name))) {
            ctl_policy_error(reader->policy, where, "is no name of a team");
            continue;
        }

        if (ctl_policy_object(reader, value, where, members)) {
            team = &account->teams[account->nteams++];
            team->name = name;
            ctl_policy_limits(reader, where, value, "limits", &team->limits);
            team->reserve = ctl_policy_reserve(reader, where, value);
        }
    }
}


/* 0 where there is none. */

static unsigned
ctl_policy_reserve(ctl_reader_t *reader, const char *at, json_t *team)
{
    json_t      *value;
    json_int_t   reserve;

    value = json_object_get(team, "reserve");

    if (value == NULL) {
        return 0;
    }

    reserve = json_integer_value(value);

    if (!json_is_integer(value) || reserve < 0
        || reserve > PINAUD_LIMIT_N_MAX)
    {
        ctl_policy_error(reader->policy,
                         ctl_policy_at(reader, at, "reserve"),
                         "must be an integer from 0 to 1000000");
        return 0;
    }

    return (unsigned) reserve;
}


/* Whether there are any; what is wrong with them is told. */

static int
ctl_policy_limits(ctl_reader_t *reader, const char *at, json_t *parent,
    const char *member, pinaud_limits_t *limits)
{
    size_t       i;
    json_t      *array, *item;
    const char  *reason, *text, *where;

    limits->count = 0;

    array = json_object_get(parent, member);
    at = ctl_policy_at(reader, at, member);

    if (array == NULL) {
        return 0;
    }

    if (!json_is_array(array)) {
        ctl_policy_error(reader->policy, at, "must be an array of limits");
        return 1;
    }

    json_array_foreach(array, i, item) {
        text = json_string_value(item);
        reason = text ? pinaud_limits_add(limits, text,
                                          json_string_length(item))
                      : "must be a string, such as \"400/60s\"";

        if (reason != NULL) {
            where = ctl_format(reader->ctl, "%s/%zu", at, i);
            ctl_policy_error(reader->policy, where, reason);
        }
    }

    return 1;
}


/* "~" and "/" of a name are escaped. */

static const char *
ctl_policy_at(ctl_reader_t *reader, const char *at, const char *member)
{
    char        *p, *pointer;
    const char  *c;

    pointer = ctl_alloc(reader->ctl, strlen(at) + 2 + strlen(member) * 2);
    p = pointer + sprintf(pointer, "%s/", at);

    for (c = member; *c; c++) {
        if (*c == '~' || *c == '/') {
            *p++ = '~';
            *p++ = (*c == '~') ? '0' : '1';

        } else {
            *p++ = *c;
        }
    }

    return ctl_printable(reader->ctl, pointer, (size_t) (p - pointer));
}


json_t *
ctl_policy_document(ctl_t *ctl, const ctl_credential_t *credentials,
    unsigned ncredentials, const ctl_account_t *accounts, unsigned naccounts)
{
    json_t             *account_map, *credential_map, *member, *teams;
    unsigned            i, k;
    const ctl_team_t   *team;

    credential_map = json_object();

    for (i = 0; i < ncredentials; i++) {
        json_object_set_new(credential_map, credentials[i].name,
            json_pack("{s:s, s:o, s:o}", "tier", credentials[i].tier,
                      "limits", ctl_limits_json(ctl, &credentials[i].limits),
                      "limits_all",
                      ctl_limits_json(ctl, &credentials[i].limits_all)));
    }

    account_map = json_object();

    for (i = 0; i < naccounts; i++) {

        teams = json_object();

        for (k = 0; k < accounts[i].nteams; k++) {
            team = &accounts[i].teams[k];
            member = json_pack("{s:o}", "limits",
                               ctl_limits_json(ctl, &team->limits));

            if (team->reserve) {
                json_object_set_new(member, "reserve",
                                    json_integer(team->reserve));
            }

            json_object_set_new(teams, team->name, member);
        }

        json_object_set_new(account_map, accounts[i].id,
            json_pack("{s:s, s:o, s:o}", "credential", accounts[i].credential,
                      "limits", ctl_limits_json(ctl, &accounts[i].limits),
                      "teams", teams));
    }

    return json_pack("{s:i, s:o, s:o}", "format", CTL_POLICY_FORMAT,
                     "credentials", credential_map, "accounts", account_map);
}
