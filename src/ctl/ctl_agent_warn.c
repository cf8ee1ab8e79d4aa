
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a person has to know in time.
 */


#include "ctl_agent.h"


#define CTL_WARN_DAYS  14              /* before something expires */
#define CTL_WARN_DAY   86400


static void ctl_warn_expiry(ctl_agent_t *agent,
    ctl_agent_credential_t *one, const char *token, uint64_t expires,
    uint64_t *told, int person);


/* What a person has to do in time. */

void
ctl_agent_warn(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look)
{
    int                      helpless;
    const ctl_secret_t      *secret;
    const ctl_attempt_t     *attempt;
    const ctl_credential_t  *record;

    record = &look->record;
    secret = &look->secret;
    attempt = look->due.attempt;

    if (!record->exists) {
        return;
    }

    helpless = (!look->due.usable || look->due.unauthorized);

    if (!look->due.usable && !one->unusable_told) {
        ctl_agent_log(agent, "not refreshed", one->name,
                      json_pack("{s:s}", "message", secret->refresh
                                ? "it has no client id and secret"
                                : "it has no refresh token"));
    }

    one->unusable_told = !look->due.usable;

    if (helpless) {
        ctl_warn_expiry(agent, one, "access", record->expires,
                             &one->told_access, 1);
    }

    if (secret->refresh) {
        ctl_warn_expiry(agent, one, "refresh", secret->refresh_expires,
                             &one->told_refresh, helpless);
    }

    if (attempt != NULL && !look->due.own
        && agent->now > attempt->at + agent->takeover
        && one->told_attempt != agent->now / 1000 / CTL_WARN_DAY)
    {
        one->told_attempt = agent->now / 1000 / CTL_WARN_DAY;

        ctl_agent_log(agent, "stands", one->name,
                      json_pack("{s:s, s:s, s:s, s:o, s:b}", "host",
                                attempt->host, "since",
                                ctl_time(agent->ctl, attempt->at / 1000),
                                "message", "this host's agent has an answer "
                                "or knows of none: start it again; if it is "
                                "gone for good, see the cure", "cure",
                                json_sprintf("pinaudctl credential refresh "
                                             "%s --force", one->name),
                                "alarm", 1));
    }
}


/* Once a day. */

static void
ctl_warn_expiry(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const char *token, uint64_t expires, uint64_t *told, int person)
{
    json_t   *fields;
    int64_t   left;
    uint64_t  now;

    now = agent->now / 1000;

    if (expires == 0 || expires > now + CTL_WARN_DAYS * CTL_WARN_DAY
        || *told == now / CTL_WARN_DAY)
    {
        return;
    }

    *told = now / CTL_WARN_DAY;
    left = ((int64_t) expires - (int64_t) now) / CTL_WARN_DAY;

    fields = json_pack("{s:s, s:s, s:I}", "token", token, "expires",
                       ctl_time(agent->ctl, expires), "days_left",
                       (json_int_t) left);

    if (person) {
        json_object_set_new(fields, "cure",
                            json_sprintf("pinaudctl credential authorize %s",
                                         one->name));
        json_object_set_new(fields, "alarm", json_true());
    }

    ctl_agent_log(agent, "expires", one->name, fields);
}
