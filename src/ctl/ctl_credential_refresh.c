
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl credential refresh": asks the agents for a newer token, and waits
 * for what becomes of that.
 */


#include <stdio.h>
#include <string.h>
#include <time.h>
#include "ctl.h"
#include "ctl_agent_due.h"
#include "ctl_credential.h"
#include "ctl_link.h"


#define CTL_REFRESH_WAIT  30000        /* ms, as all of these */
#define CTL_REFRESH_POLL  100


typedef struct {
    const char        *name;
    int                force;
    ctl_credential_t   record;
    ctl_secret_t       secret;
} ctl_refresh_t;


static int ctl_refresh(ctl_t *ctl, uint64_t wait);
static int ctl_refresh_read(ctl_t *ctl, ctl_refresh_t *refresh);
static int ctl_refresh_check(ctl_t *ctl, const ctl_refresh_t *refresh);
static int ctl_refresh_ask(ctl_t *ctl, const ctl_refresh_t *refresh);
static int ctl_refresh_wait(ctl_t *ctl, ctl_refresh_t *refresh,
    uint64_t wait);
static int ctl_refresh_done(ctl_t *ctl, const ctl_refresh_t *refresh);
static int ctl_refresh_late(ctl_t *ctl, const ctl_refresh_t *refresh,
    const ctl_refresh_t *before);


int
ctl_credential_refresh(ctl_t *ctl)
{
    int          rc;
    uint64_t     wait;
    const char  *text;

    wait = CTL_REFRESH_WAIT;
    text = ctl_given(ctl, "wait");
    rc = ctl_check_name("credential", ctl->args[0]);

    if (rc == CTL_DONE && text != NULL) {
        rc = ctl_duration("wait", text, &wait);
    }

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    return (rc == CTL_DONE) ? ctl_refresh(ctl, wait) : rc;
}


static int
ctl_refresh(ctl_t *ctl, uint64_t wait)
{
    int            rc;
    ctl_refresh_t  refresh;

    refresh.name = ctl->args[0];
    refresh.force = (ctl_given(ctl, "force") != NULL);

    rc = ctl_refresh_read(ctl, &refresh);

    if (rc == CTL_DONE) {
        rc = ctl_refresh_check(ctl, &refresh);
    }

    if (rc == CTL_DONE) {
        rc = ctl_refresh_ask(ctl, &refresh);
    }

    return (rc == CTL_DONE) ? ctl_refresh_wait(ctl, &refresh, wait) : rc;
}


static int
ctl_refresh_read(ctl_t *ctl, ctl_refresh_t *refresh)
{
    int  rc;

    rc = ctl_credential_read(ctl, refresh->name, &refresh->record);

    return (rc == CTL_DONE)
           ? ctl_secret_record_read(ctl, refresh->name, &refresh->secret)
           : rc;
}


/* What no agent can do. */

static int
ctl_refresh_check(ctl_t *ctl, const ctl_refresh_t *refresh)
{
    const char  *name;

    name = refresh->name;

    if (!refresh->record.exists) {
        return ctl_fail(CTL_REFUSED, "there is no credential %s", name);
    }

    if (!refresh->secret.refresh) {
        return ctl_fail(CTL_REFUSED, "credential %s has no refresh token; "
                        "\"%s\" gets one", name,
                        ctl_authorize_command(ctl, name,
                                              &refresh->secret));
    }

    if (!refresh->secret.client_secret || refresh->secret.client_id == NULL) {
        return ctl_fail(CTL_REFUSED, "credential %s has no client; tell it "
                        "by \"pinaudctl credential put %s --client-id ID "
                        "--client-secret-file FILE\"", name, name);
    }

    if (refresh->record.state == CTL_STATE_UNAUTHORIZED) {
        return ctl_fail(CTL_REFUSED, "Pinterest refuses the refresh token of "
                        "credential %s: %s; \"pinaudctl credential authorize "
                        "%s\" gets another", name,
                        refresh->record.reason ? refresh->record.reason : "",
                        name);
    }

    return CTL_DONE;
}


static int
ctl_refresh_ask(ctl_t *ctl, const ctl_refresh_t *refresh)
{
    ctl_words_t  *words;

    words = ctl_words(ctl, "HSET", PINAUD_KEY_WANTED, refresh->name,
                      ctl_format(ctl, "%s %s",
                                 ctl_number(ctl, refresh->record.version),
                                 refresh->force ? "force" : "operator"),
                      NULL);

    return ctl_ask(ctl, words, REDIS_REPLY_INTEGER) ? CTL_DONE : CTL_STORE;
}


static int
ctl_refresh_wait(ctl_t *ctl, ctl_refresh_t *refresh, uint64_t wait)
{
    int               rc;
    int64_t           end;
    ctl_block_t      *mark;
    ctl_refresh_t     before;
    struct timespec   pause;

    before = *refresh;
    end = ctl_clock() + (int64_t) wait;

    pause.tv_sec = 0;
    pause.tv_nsec = CTL_REFRESH_POLL * 1000000L;

    for ( ;; ) {
        mark = ctl_pool_mark(ctl);
        rc = ctl_refresh_read(ctl, refresh);

        if (rc != CTL_DONE) {
            return rc;
        }

        if (refresh->record.version > before.record.version) {
            return ctl_refresh_done(ctl, refresh);
        }

        if (!refresh->record.exists
            || refresh->record.state == CTL_STATE_UNAUTHORIZED)
        {
            return ctl_refresh_check(ctl, refresh);
        }

        if (ctl_clock() >= end
            || (refresh->record.state == CTL_STATE_WRONG_CLIENT
                && refresh->secret.failures != before.secret.failures))
        {
            return ctl_refresh_late(ctl, refresh, &before);
        }

        ctl_pool_release(ctl, mark);
        (void) nanosleep(&pause, NULL);
    }
}


static int
ctl_refresh_done(ctl_t *ctl, const ctl_refresh_t *refresh)
{
    const char  *expires;

    expires = ctl_time(ctl, refresh->record.expires);

    if (ctl->json) {
        ctl_print_json(json_pack("{s:s, s:I, s:o}", "credential",
                                 refresh->name, "version",
                                 (json_int_t) refresh->record.version,
                                 "expires",
                                 refresh->record.expires
                                 ? json_string(expires) : json_null()));

        return CTL_DONE;
    }

    printf("credential %s: refreshed\n  version        %s\n"
           "  expires        %s\n", refresh->name,
           ctl_number(ctl, refresh->record.version), expires);

    return CTL_DONE;
}


static int
ctl_refresh_late(ctl_t *ctl, const ctl_refresh_t *refresh,
    const ctl_refresh_t *before)
{
    int             same;
    const char     *name;
    ctl_attempt_t   attempt;

    name = refresh->name;

    same = (refresh->secret.attempt != NULL && before->secret.attempt != NULL
            && strcmp(refresh->secret.attempt, before->secret.attempt) == 0);

    if (refresh->record.state == CTL_STATE_WRONG_CLIENT) {
        return ctl_fail(CTL_REFUSED, "Pinterest refuses the client of "
                        "credential %s: %s; \"pinaudctl credential put %s "
                        "--client-id ID --client-secret-file FILE\" changes "
                        "it", name,
                        refresh->record.reason ? refresh->record.reason : "",
                        name);
    }

    if (refresh->secret.failures != before->secret.failures) {
        return ctl_fail(CTL_REFUSED, "credential %s: it failed, and is tried "
                        "again: %s", name,
                        refresh->record.reason ? refresh->record.reason : "");
    }

    /* one that an agent was to take over, and none did, is no reason */

    if (refresh->secret.attempt != NULL && !(refresh->force && same)
        && ctl_attempt_read(refresh->secret.attempt, &attempt) == 0)
    {
        return ctl_fail(CTL_REFUSED, "credential %s: an attempt of host %s "
                        "stands since %s, and only that knows what became of "
                        "it. If it is gone for good: \"pinaudctl credential "
                        "refresh %s --force\"", name, attempt.host,
                        ctl_time(ctl, attempt.at / 1000), name);
    }

    return ctl_fail(CTL_REFUSED, "credential %s: no agent has tried. Does one "
                    "run? \"pinaudctl agent\", or once: \"pinaudctl agent "
                    "--once\"", name);
}

