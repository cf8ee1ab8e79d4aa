
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a person has to know in time.
 */


#include "ctl_agent.h"


#define CTL_WARN_DAYS      14          /* before something expires */
#define CTL_WARN_FAILURES  10          /* in a row: some minutes of them */
#define CTL_WARN_DAY       86400


static void ctl_warn_expiry(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const char *token, uint64_t expires, int helpless, int alarm,
    uint64_t *told);
static void ctl_warn_attempt(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_attempt_t *attempt);


/* What a person has to do in time. */

void
ctl_agent_warn(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look)
{
    int                      helpless;
    const ctl_secret_t      *secret;
    const ctl_credential_t  *record;

    record = &look->record;
    secret = &look->secret;

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

    /* days left are no reason: that is when it is refreshed */

    if (helpless || secret->failures >= CTL_WARN_FAILURES) {
        ctl_warn_expiry(agent, one, "access", record->expires, helpless, 1,
                        &one->told_access);
    }

    if (secret->refresh) {
        ctl_warn_expiry(agent, one, "refresh", secret->refresh_expires,
                        helpless, helpless, &one->told_refresh);
    }

    if (look->due.attempt != NULL && !look->due.own) {
        ctl_warn_attempt(agent, one, look->due.attempt);
    }
}


/* Once a day, in the last two weeks. */

static void
ctl_warn_expiry(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const char *token, uint64_t expires, int helpless, int alarm,
    uint64_t *told)
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

    if (helpless) {
        json_object_set_new(fields, "cure",
                            json_sprintf("pinaudctl credential authorize %s",
                                         one->name));
    }

    if (alarm) {
        json_object_set_new(fields, "alarm", json_true());
    }

    ctl_agent_log(agent, "expires", one->name, fields);
}


/* Once a day of somebody else's attempt that is older than it should be. */

static void
ctl_warn_attempt(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_attempt_t *attempt)
{
    uint64_t  today;

    today = agent->now / 1000 / CTL_WARN_DAY;

    if (agent->now <= attempt->at + agent->takeover) {
        return;
    }

    one->attention = 1;

    if (one->told_attempt == today) {
        return;
    }

    one->told_attempt = today;

    ctl_agent_log(agent, "stands", one->name,
                  json_pack("{s:s, s:s, s:s, s:o, s:b}", "host",
                            attempt->host, "since",
                            ctl_time(agent->ctl, attempt->at / 1000),
                            "message", "only this host's agent can know what "
                            "became of it: start it again. If it is gone for "
                            "good, see the cure", "cure",
                            json_sprintf("pinaudctl credential refresh %s "
                                         "--force", one->name),
                            "alarm", 1));
}
