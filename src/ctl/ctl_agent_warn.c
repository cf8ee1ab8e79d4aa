
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What a person has to know in time.
 */


#include "ctl_agent.h"
#include "ctl_credential.h"


#define CTL_WARN_DAYS      14          /* before something expires */
#define CTL_WARN_FAILURES  10          /* in a row: some minutes of them */
#define CTL_WARN_DAY       86400


static void ctl_warn_access(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look, const char *cure);
static json_t *ctl_warn_expiry(ctl_agent_t *agent, const char *token,
    uint64_t expires, const char *cure, int alarm, uint64_t *told);
static void ctl_warn_attempt(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_attempt_t *attempt);


void
ctl_agent_warn(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look)
{
    json_t                  *fields;
    const char              *cure;
    const ctl_secret_t      *secret;
    const ctl_credential_t  *record;

    record = &look->record;
    secret = &look->secret;

    if (!record->exists) {
        return;
    }

    cure = (look->due.usable && !look->due.unauthorized)
           ? NULL : ctl_authorize_command(agent->ctl, one->name, secret);

    if (!look->due.usable && !one->unusable_told) {
        ctl_agent_log(agent, "not refreshed", one->name,
                      json_pack("{s:s, s:s}", "message", secret->refresh
                                ? "it has no client id and secret"
                                : "it has no refresh token", "cure", cure));
    }

    one->unusable_told = !look->due.usable;

    ctl_warn_access(agent, one, look, cure);

    if (secret->refresh) {
        fields = ctl_warn_expiry(agent, "refresh", secret->refresh_expires,
                                 cure, cure != NULL, &one->told_refresh);

        if (fields != NULL) {
            ctl_agent_log(agent, "expires", one->name, fields);
        }
    }

    if (look->due.attempt != NULL && !look->due.own) {
        ctl_warn_attempt(agent, one, look->due.attempt);
    }
}


/* One that is being renewed is no matter; else it is told when it will be. */

static void
ctl_warn_access(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look, const char *cure)
{
    int      alarm;
    json_t  *fields;

    alarm = (cure != NULL || look->secret.failures >= CTL_WARN_FAILURES);

    if (!alarm
        && (look->due.attempt != NULL || ctl_due(&look->due) != CTL_DUE_NOT))
    {
        return;
    }

    fields = ctl_warn_expiry(agent, "access", look->record.expires, cure,
                             alarm, &one->told_access);

    if (fields == NULL) {
        return;
    }

    if (!alarm) {
        json_object_set_new(fields, "refreshed_after",
                            json_string(ctl_time(agent->ctl,
                                                 ctl_due_at(&look->due))));
    }

    ctl_agent_log(agent, "expires", one->name, fields);
}


/*
 * In the last two weeks, once a day, and once more where it becomes an alarm;
 * else NULL.
 */

static json_t *
ctl_warn_expiry(ctl_agent_t *agent, const char *token, uint64_t expires,
    const char *cure, int alarm, uint64_t *told)
{
    json_t   *fields;
    int64_t   left;
    uint64_t  now, today;

    now = agent->now / 1000;
    today = now / CTL_WARN_DAY * 2 + (alarm != 0);

    if (expires == 0 || expires > now + CTL_WARN_DAYS * CTL_WARN_DAY
        || *told == today || *told == (today | 1))
    {
        return NULL;
    }

    *told = today;
    left = ((int64_t) expires - (int64_t) now) / CTL_WARN_DAY;

    fields = json_pack("{s:s, s:s, s:I}", "token", token, "expires",
                       ctl_time(agent->ctl, expires), "days_left",
                       (json_int_t) left);

    if (cure != NULL) {
        json_object_set_new(fields, "cure", json_string(cure));
    }

    if (alarm) {
        json_object_set_new(fields, "alarm", json_true());
    }

    return fields;
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
