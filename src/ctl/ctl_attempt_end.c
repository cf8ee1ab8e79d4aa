
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What came of a call.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl_agent.h"


static int ctl_attempt_granted(ctl_agent_t *agent,
    ctl_agent_credential_t *one, const ctl_oauth_answer_t *answer);
static const char *ctl_attempt_room(char **to, const char *text);
static int ctl_attempt_refused(ctl_agent_t *agent,
    ctl_agent_credential_t *one, const ctl_oauth_answer_t *answer);
static void ctl_attempt_nothing(ctl_agent_t *agent,
    ctl_agent_credential_t *one);
static int ctl_attempt_failed(ctl_agent_t *agent,
    ctl_agent_credential_t *one, const ctl_oauth_answer_t *answer);


int
ctl_attempt_end(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_oauth_answer_t *answer)
{
    one->in_flight = 0;
    one->trouble = 0;

    switch (answer->outcome) {

    case CTL_OAUTH_GRANTED:
        return ctl_attempt_granted(agent, one, answer);

    case CTL_OAUTH_REFUSED:
        return ctl_attempt_refused(agent, one, answer);

    default:
        return ctl_attempt_failed(agent, one, answer);
    }
}


static int
ctl_attempt_granted(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_oauth_answer_t *answer)
{
    char          error[CTL_JOURNAL_ERROR];
    char         *p;
    uint64_t      at;
    ctl_grant_t  *grant;

    one->room = malloc(CTL_JOURNAL_ROOM);

    if (one->room == NULL) {
        exit(ctl_fail(CTL_REFUSED, "out of memory"));
    }

    at = one->entry.at / 1000;
    grant = &one->grant;

    p = (char *) one->room;
    grant->access = ctl_attempt_room(&p, answer->access);
    grant->refresh = ctl_attempt_room(&p, answer->refresh);
    grant->scope = ctl_attempt_room(&p, answer->scope);
    grant->expires = answer->expires_in ? at + answer->expires_in : 0;
    grant->refresh_expires = ctl_oauth_refresh_expires(answer, at);

    if (ctl_journal_answer(agent->journal, &one->entry, grant, error) != 0) {
        one->unjournalled = 1;
        ctl_agent_log(agent, "journal", one->name,
                      json_pack("{s:s, s:b}", "message", error, "alarm", 1));
    }

    one->failures = 0;
    one->paused_until = 0;
    one->attention = 0;

    return agent->connected ? ctl_attempt_settle(agent, one, 0) : CTL_DONE;
}


static const char *
ctl_attempt_room(char **to, const char *text)
{
    char  *copy;

    copy = *to;
    *to += strlen(strcpy(copy, text)) + 1;

    return copy;
}


/*
 * Whoever was faster has changed the record: then the attempt does not stand
 * any more, and what is there is newer than what was refused.
 */

static int
ctl_attempt_refused(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_oauth_answer_t *answer)
{
    int          stood;
    ctl_t       *ctl;
    const char  *reason;

    ctl = agent->ctl;
    reason = answer->reason;

    if (one->entry.unknown) {
        reason = ctl_format(ctl, "attempt of %s lost: its answer never came, "
                            "and now: %s",
                            one->lost_host[0] ? one->lost_host : agent->host,
                            answer->reason);
    }

    if (!agent->connected
        || ctl_attempt_fail(agent, one, 0,
                            ctl_state_name(CTL_STATE_UNAUTHORIZED), reason,
                            &stood)
           != CTL_DONE)
    {
        /* it is found refused again when the store is back */

        ctl_attempt_nothing(agent, one);
        ctl_agent_pause(one, one->failures + 1, 0);
        return agent->connected ? CTL_STORE : CTL_DONE;
    }

    ctl_attempt_forget(agent, one);

    if (!stood) {
        ctl_agent_log(agent, "overtaken", one->name, NULL);
        return CTL_DONE;
    }

    one->attention = 1;

    ctl_agent_log(agent, "needs authorization", one->name,
                  json_pack("{s:s, s:o, s:b}", "reason", reason, "cure",
                            json_sprintf("pinaudctl credential authorize %s",
                                         one->name),
                            "alarm", 1));

    return CTL_DONE;
}


/*
 * Nothing was carried out by this call, nor by one before. Where that can't be
 * written down it is only thought to be not known.
 */

static void
ctl_attempt_nothing(ctl_agent_t *agent, ctl_agent_credential_t *one)
{
    char  error[CTL_JOURNAL_ERROR];

    if (!one->entry.unknown) {
        one->entry.phase = CTL_PHASE_PREPARED;
        (void) ctl_journal_mark(agent->journal, &one->entry, error);
    }
}


/*
 * Tried again later. A call that may have been carried out keeps its attempt,
 * and so does one that followed such a call.
 */

static int
ctl_attempt_failed(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_oauth_answer_t *answer)
{
    int          rc, stood, wrong_client;
    json_t      *fields;
    int64_t      longest;
    const char  *outcome;

    wrong_client = (answer->outcome == CTL_OAUTH_WRONG_CLIENT);

    outcome = wrong_client ? "wrong client"
              : answer->outcome == CTL_OAUTH_NOT_SENT ? "not sent"
              : answer->outcome == CTL_OAUTH_LATER ? "later" : "unknown";

    if (answer->outcome == CTL_OAUTH_UNKNOWN) {
        one->entry.unknown = 1;

    } else {
        ctl_attempt_nothing(agent, one);
    }

    one->failures++;
    one->attention = wrong_client;
    ctl_agent_pause(one, one->failures,
                    wrong_client ? CTL_BACKOFF_MAX
                                 : (uint64_t) answer->retry_after * 1000);

    /* else it would seem that nobody is there any more to own it */

    longest = ctl_clock() + (int64_t) agent->takeover / 4;

    if (one->entry.unknown && one->paused_until > longest) {
        one->paused_until = longest;
    }

    fields = json_pack("{s:s, s:s, s:I, s:I}", "outcome", outcome, "reason",
                       answer->reason, "failures", (json_int_t) one->failures,
                       "again_in_ms",
                       (json_int_t) (one->paused_until - ctl_clock()));

    if (wrong_client) {
        json_object_set_new(fields, "cure", json_sprintf("pinaudctl "
                                "credential put %s --client-id ID "
                                "--client-secret-file FILE", one->name));
        json_object_set_new(fields, "alarm", json_true());
    }

    ctl_agent_log(agent, "failed", one->name, fields);

    if (!agent->connected) {
        return CTL_DONE;
    }

    rc = ctl_attempt_fail(agent, one, one->entry.unknown,
                          ctl_state_name(wrong_client ? CTL_STATE_WRONG_CLIENT
                                                      : CTL_STATE_RETRYING),
                          answer->reason, &stood);

    if (rc == CTL_DONE && !one->entry.unknown) {
        ctl_attempt_forget(agent, one);
    }

    return rc;
}
