
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The agent looks at credentials, and does what is due.
 */


#include <string.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "ctl_agent.h"
#include "ctl_store.h"


#define CTL_SCAN_AHEAD  128            /* credentials read in a round trip */


static int ctl_scan_all(ctl_agent_t *agent);
static int ctl_scan_locked(ctl_agent_t *agent, ctl_agent_credential_t *one);
static int ctl_scan_read(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_look_t *look);
static void ctl_scan_base(const ctl_secret_t *secret, char *base);
static int ctl_scan_entry(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_look_t *look);
static void ctl_scan_case(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_look_t *look);
static int ctl_scan_once_paused(const ctl_agent_t *agent,
    const ctl_agent_credential_t *one, const ctl_look_t *look);
static int ctl_scan_due(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look);


int
ctl_agent_scan(ctl_agent_t *agent)
{
    int           rc;
    ctl_t        *ctl;
    unsigned      i, n;
    const char  **names;

    ctl = agent->ctl;

    if (ctl_store_time_ms(ctl, &agent->now) != CTL_DONE
        || ctl_members(ctl, PINAUD_KEY_CREDENTIALS, pinaud_is_name, &names,
                       &n)
           != CTL_DONE)
    {
        return CTL_STORE;
    }

    for (i = 0; i < agent->n; i++) {
        agent->all[i]->listed = 0;
    }

    for (i = 0; i < n; i++) {
        ctl_agent_find(agent, names[i], 1)->listed = 1;
    }

    rc = ctl_scan_all(agent);
    ctl_ahead_end(ctl);

    return rc;
}


static int
ctl_scan_all(ctl_agent_t *agent)
{
    int                      rc;
    unsigned                 i;
    ctl_agent_credential_t  *one;

    for (i = 0; i < agent->n; i++) {
        one = agent->all[i];

        if (i % CTL_SCAN_AHEAD == 0
            && ctl_agent_ahead(agent, &agent->all[i],
                               agent->n - i < CTL_SCAN_AHEAD ? agent->n - i
                                                             : CTL_SCAN_AHEAD)
               != CTL_DONE)
        {
            return CTL_STORE;
        }

        if (!one->listed && one->entry.phase == CTL_PHASE_NONE) {
            continue;
        }

        rc = ctl_agent_look(agent, one);

        if (rc != CTL_DONE) {
            return rc;
        }
    }

    return CTL_DONE;
}


/* What may be changed first, by what is under way, is read by its look. */

int
ctl_agent_ahead(ctl_agent_t *agent, ctl_agent_credential_t **list, unsigned n)
{
    ctl_t                         *ctl;
    unsigned                       i, count;
    const char                   **keys;
    const ctl_agent_credential_t  *one;

    ctl = agent->ctl;
    keys = ctl_alloc(ctl, sizeof(char *) * (2 * n + 1));
    count = 0;

    for (i = 0; i < n; i++) {
        one = list[i];

        if (one->listed && !one->in_flight
            && one->entry.phase == CTL_PHASE_NONE)
        {
            keys[count++] = ctl_key(ctl, pinaud_key_credential, one->name);
            keys[count++] = ctl_key(ctl, pinaud_key_secret, one->name);
        }
    }

    return ctl_ahead(ctl, keys, count);
}


int
ctl_agent_waiting(ctl_agent_t *agent)
{
    int                      rc;
    unsigned                 i;
    ctl_agent_credential_t  *one;

    for (i = 0; i < agent->n; i++) {
        one = agent->all[i];

        if (!one->waiting
            && (one->room == NULL
                || (one->kept && one->keep_at > ctl_clock())))
        {
            continue;
        }

        if (one->waiting
            && ctl_oauth_calls(agent->oauth) >= CTL_AGENT_CALLS)
        {
            continue;
        }

        rc = ctl_agent_look(agent, one);

        if (rc != CTL_DONE) {
            return rc;
        }
    }

    return CTL_DONE;
}


int
ctl_agent_look(ctl_agent_t *agent, ctl_agent_credential_t *one)
{
    int           rc;
    char          text[CTL_AGENT_WISH];
    ctl_look_t    look;

    if (one->in_flight) {
        return CTL_DONE;
    }

    if (one->locked) {
        return ctl_scan_locked(agent, one);
    }

    one->waiting = 0;

    if (one->room != NULL && (!one->kept || one->keep_at <= ctl_clock())) {
        rc = ctl_attempt_settle(agent, one, agent->once);

        if (rc != CTL_DONE) {
            return rc;
        }
    }

    memset(&look, 0, sizeof(ctl_look_t));
    rc = ctl_scan_read(agent, one, &look);

    if (rc == CTL_DONE && look.record.exists == 0
        && one->entry.phase == CTL_PHASE_NONE && one->wish == CTL_WISH_NONE)
    {
        return CTL_DONE;
    }

    if (rc == CTL_DONE) {
        ctl_scan_case(agent, one, &look);

        if (one->room == NULL) {
            rc = ctl_scan_entry(agent, one, &look);
        }
    }

    if (rc != CTL_DONE) {
        return rc == CTL_REFUSED ? CTL_DONE : rc;
    }

    ctl_agent_warn(agent, one, &look);

    if (one->wish != CTL_WISH_NONE && ctl_wish_over(&look.due)) {
        memcpy(text, one->wish_text, sizeof(text));
        one->wish = CTL_WISH_NONE;
        one->wish_text[0] = '\0';

        if (ctl_agent_unwish(agent, one->name, text) != CTL_DONE) {
            return CTL_STORE;
        }
    }

    return ctl_scan_due(agent, one, &look);
}


/*
 * An answer that does not open may be the only one there is, unless the record
 * has a newer refresh token.
 */

static int
ctl_scan_locked(ctl_agent_t *agent, ctl_agent_credential_t *one)
{
    int         rc;
    ctl_look_t  look;

    memset(&look, 0, sizeof(ctl_look_t));
    rc = ctl_scan_read(agent, one, &look);

    if (rc != CTL_DONE) {
        return rc == CTL_REFUSED ? CTL_DONE : rc;
    }

    if (!look.record.exists
        || look.secret.refresh_version > one->entry.refresh_version)
    {
        ctl_attempt_forget(agent, one);
        one->locked = 0;
        one->waiting = 1;
    }

    return CTL_DONE;
}


/*
 * Reads the records. One that is damaged concerns no other credential:
 * CTL_REFUSED.
 */

static int
ctl_scan_read(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_look_t *look)
{
    char      message[CTL_AGENT_MESSAGE];
    ctl_t    *ctl;
    uint64_t  now;

    ctl = agent->ctl;

    if (ctl_credential_read(ctl, one->name, &look->record) == CTL_DONE
        && ctl_secret_record_read(ctl, one->name, &look->secret) == CTL_DONE)
    {
        one->damage_told = 0;
        ctl_scan_base(&look->secret, look->base);
        return CTL_DONE;
    }

    memcpy(message, agent->message, sizeof(message));

    if (ctl_store_time_ms(ctl, &now) != CTL_DONE) {
        return CTL_STORE;
    }

    if (!one->damage_told) {
        one->damage_told = 1;
        one->attention = 1;
        ctl_agent_log(agent, "not readable", one->name,
                      json_pack("{s:s, s:b}", "message", message, "alarm", 1));
    }

    return CTL_REFUSED;
}


/* SHA-1, since that is what a script of Redis has. */

static void
ctl_scan_base(const ctl_secret_t *secret, char *base)
{
    unsigned       i, len;
    unsigned char  digest[EVP_MAX_MD_SIZE];

    if (secret->sealed_refresh == NULL
        || EVP_Digest(secret->sealed_refresh, secret->sealed_refresh_len,
                      digest, &len, EVP_sha1(), NULL)
           != 1)
    {
        return;
    }

    for (i = 0; i < len; i++) {
        sprintf(base + 2 * i, "%02x", digest[i]);
    }
}


/*
 * What the journal has and no answer to. Once the record has another refresh
 * token, it does not matter any more what became of the call.
 */

static int
ctl_scan_entry(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_look_t *look)
{
    int                 same;
    const ctl_entry_t  *entry;

    entry = &one->entry;

    if (entry->phase == CTL_PHASE_NONE) {
        return CTL_DONE;
    }

    if (entry->phase == CTL_PHASE_PREPARED && !entry->unknown) {
        if (ctl_attempt_undo(agent, one) != CTL_DONE) {
            return CTL_STORE;
        }

        /* the record may have changed by that: it is read again */

        one->waiting = 1;
        return CTL_REFUSED;
    }

    same = (entry->base[0] != '\0' && strcmp(entry->base, look->base) == 0);

    if (same || look->due.own) {
        look->due.unresolved = same;
        return CTL_DONE;
    }

    ctl_agent_log(agent, look->record.exists ? "overtaken" : "gone",
                  one->name, NULL);
    ctl_attempt_forget(agent, one);

    return CTL_DONE;
}


static void
ctl_scan_case(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_look_t *look)
{
    int64_t                  clock;
    ctl_case_t              *due;
    const ctl_secret_t      *secret;
    const ctl_credential_t  *record;

    record = &look->record;
    secret = &look->secret;
    due = &look->due;
    clock = ctl_clock();

    /* any agent's failure makes all wait, and a success ends it */

    if (secret->failures != one->failures) {
        one->failures = secret->failures;
        one->paused_until = 0;

        ctl_agent_pause(one, one->failures,
                        record->state == CTL_STATE_WRONG_CLIENT
                        ? CTL_BACKOFF_MAX : 0);
    }

    due->usable = (secret->refresh && secret->client_secret
                   && secret->client_id != NULL);
    due->unauthorized = (record->state == CTL_STATE_UNAUTHORIZED);
    due->paused = agent->once ? ctl_scan_once_paused(agent, one, look)
                              : one->paused_until > clock;
    due->version = record->version;
    due->expires = record->expires;
    due->refreshed = secret->refreshed;
    due->refresh_expires = secret->refresh_expires;
    due->demands = secret->demands;
    due->wish = one->wish;
    due->wish_version = one->wish_version;
    due->now = agent->now;
    due->takeover = agent->takeover;
    due->spread = ctl_spread(one->name);

    if (secret->attempt != NULL
        && ctl_attempt_read(secret->attempt, &look->attempt) == 0)
    {
        due->attempt = &look->attempt;
        due->own = (strcmp(look->attempt.journal,
                           ctl_journal_id(agent->journal))
                    == 0);
    }

    one->attention = (due->unauthorized
                      || record->state == CTL_STATE_WRONG_CLIENT
                      || one->trouble != 0);
}


/*
 * By --once all is tried that is due, as often as somebody calls it, but for
 * an app that Pinterest refuses: that seldom mends itself. An agent that ran
 * before has left the time when it was refused.
 */

static int
ctl_scan_once_paused(const ctl_agent_t *agent,
    const ctl_agent_credential_t *one, const ctl_look_t *look)
{
    uint64_t  failed;

    failed = look->secret.failed * 1000;

    return look->record.state == CTL_STATE_WRONG_CLIENT
           && one->wish != CTL_WISH_OPERATOR && one->wish != CTL_WISH_FORCE
           && agent->now >= failed && agent->now < failed + CTL_BACKOFF_MAX;
}


static int
ctl_scan_due(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look)
{
    ctl_due_e  due;

    due = ctl_due(&look->due);

    if (due == CTL_DUE_NOT || agent->stopping
        || (agent->once && one->tried))
    {
        return CTL_DONE;
    }

    if (ctl_oauth_calls(agent->oauth) >= CTL_AGENT_CALLS) {
        one->waiting = 1;
        return CTL_DONE;
    }

    /* there is room for one answer: the store has that now, or gets it */

    if (one->room != NULL) {
        one->waiting = 1;
        return ctl_attempt_settle(agent, one, 1);
    }

    return ctl_attempt_begin(agent, one, look);
}


void
ctl_agent_pause(ctl_agent_credential_t *one, uint64_t n, uint64_t least)
{
    uint64_t        wait;
    unsigned short  random;

    random = 0;
    (void) RAND_bytes((unsigned char *) &random, sizeof(random));

    wait = ctl_backoff(n, random);

    if (wait < least) {
        wait = least;
    }

    one->paused_until = ctl_clock() + (int64_t) wait;
}
