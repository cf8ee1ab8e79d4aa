
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The agent looks at credentials, and does what is due.
 */


#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "ctl_agent.h"
#include "pinaud_scripts.h"


#define CTL_SCAN_WARN   14             /* days before something expires */
#define CTL_SCAN_AGAIN  500            /* ms between looks for a wish */
#define CTL_SCAN_DAY    86400


static int ctl_scan_wish(ctl_agent_t *agent, const char *name,
    const char *text);
static int ctl_scan_unwish(ctl_agent_t *agent, const char *name,
    const char *text);
static int ctl_scan_exists(ctl_agent_t *agent, const char *name);
static int ctl_scan_look(ctl_agent_t *agent, ctl_agent_credential_t *one);
static int ctl_scan_read(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_look_t *look);
static void ctl_scan_base(const ctl_secret_t *secret, char *base);
static int ctl_scan_entry(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_look_t *look);
static void ctl_scan_case(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_look_t *look);
static int ctl_scan_due(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look);
static void ctl_scan_warn(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look);
static void ctl_scan_warn_expiry(ctl_agent_t *agent,
    ctl_agent_credential_t *one, const char *token, uint64_t expires,
    uint64_t *told, int person);


int
ctl_agent_scan(ctl_agent_t *agent)
{
    int                      rc;
    ctl_t                   *ctl;
    unsigned                 i, n;
    const char             **names;
    ctl_agent_credential_t  *one;

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

    for (i = 0; i < agent->n; i++) {
        one = agent->all[i];

        if (!one->listed && one->entry.phase == CTL_PHASE_NONE) {
            continue;
        }

        rc = ctl_scan_look(agent, one);

        if (rc != CTL_DONE) {
            return rc;
        }
    }

    return CTL_DONE;
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
                || (one->kept && one->keep_at > ctl_agent_clock())))
        {
            continue;
        }

        if (one->waiting
            && ctl_oauth_calls(agent->oauth) >= CTL_AGENT_CALLS)
        {
            continue;
        }

        rc = ctl_scan_look(agent, one);

        if (rc != CTL_DONE) {
            return rc;
        }
    }

    return CTL_DONE;
}


int
ctl_agent_wishes(ctl_agent_t *agent)
{
    int           rc;
    size_t        i;
    ctl_t        *ctl;
    redisReply   *reply;

    ctl = agent->ctl;

    reply = ctl_ask(ctl, ctl_words(ctl, "HGETALL", PINAUD_KEY_WANTED, NULL),
                    REDIS_REPLY_ARRAY);

    if (reply == NULL) {
        return CTL_STORE;
    }

    if (reply->elements != 0
        && ctl_store_time_ms(ctl, &agent->now) != CTL_DONE)
    {
        return CTL_STORE;
    }

    for (i = 0; i + 1 < reply->elements; i += 2) {

        if (reply->element[i]->type != REDIS_REPLY_STRING
            || reply->element[i + 1]->type != REDIS_REPLY_STRING)
        {
            continue;
        }

        rc = ctl_scan_wish(agent, reply->element[i]->str,
                           reply->element[i + 1]->str);

        if (rc != CTL_DONE) {
            return rc;
        }
    }

    return CTL_DONE;
}


/* What a gateway may write is not believed to be a name, nor a wish. */

static int
ctl_scan_wish(ctl_agent_t *agent, const char *name, const char *text)
{
    int                      there;
    uint64_t                 version;
    ctl_wish_e               wish;
    ctl_agent_credential_t  *one;

    wish = ctl_wish_read(text, &version);
    one = NULL;
    there = 0;

    if (wish != CTL_WISH_NONE && strlen(text) < CTL_AGENT_WISH
        && pinaud_is_name((const unsigned char *) name, strlen(name)))
    {
        one = ctl_agent_find(agent, name, 0);
        there = (one != NULL && one->listed) ? 1
                                             : ctl_scan_exists(agent, name);
    }

    if (there == -1) {
        return CTL_STORE;
    }

    if (!there) {
        return ctl_scan_unwish(agent, name, text);
    }

    if (one == NULL) {
        one = ctl_agent_find(agent, name, 1);
    }

    one->listed = 1;

    if (strcmp(one->wish_text, text) == 0) {

        if (one->look_at > ctl_agent_clock()) {
            return CTL_DONE;
        }

    } else {
        memcpy(one->wish_text, text, strlen(text) + 1);

        if (wish == CTL_WISH_OPERATOR || wish == CTL_WISH_FORCE) {
            one->paused_until = 0;
        }
    }

    one->wish = wish;
    one->wish_version = version;
    one->look_at = ctl_agent_clock() + CTL_SCAN_AGAIN;

    return ctl_scan_look(agent, one);
}


static int
ctl_scan_unwish(ctl_agent_t *agent, const char *name, const char *text)
{
    ctl_t        *ctl;
    ctl_words_t  *words;

    ctl = agent->ctl;
    words = ctl_words(ctl, "EVAL", pinaud_script_wanted, "1",
                      PINAUD_KEY_WANTED, name, text, NULL);

    return ctl_ask(ctl, words, REDIS_REPLY_INTEGER) ? CTL_DONE : CTL_STORE;
}


static int
ctl_scan_exists(ctl_agent_t *agent, const char *name)
{
    ctl_t       *ctl;
    redisReply  *reply;

    ctl = agent->ctl;

    reply = ctl_ask(ctl, ctl_words(ctl, "EXISTS",
                                   ctl_key(ctl, pinaud_key_credential, name),
                                   NULL),
                    REDIS_REPLY_INTEGER);

    return reply ? reply->integer == 1 : -1;
}


static int
ctl_scan_look(ctl_agent_t *agent, ctl_agent_credential_t *one)
{
    int           rc;
    char          text[CTL_AGENT_WISH];
    ctl_look_t    look;

    if (one->in_flight || one->locked) {
        return CTL_DONE;
    }

    one->waiting = 0;

    if (one->room != NULL) {
        return (one->kept && one->keep_at > ctl_agent_clock())
               ? CTL_DONE : ctl_attempt_settle(agent, one);
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
        rc = ctl_scan_entry(agent, one, &look);
    }

    if (rc != CTL_DONE) {
        return rc == CTL_REFUSED ? CTL_DONE : rc;
    }

    ctl_scan_warn(agent, one, &look);

    if (one->wish != CTL_WISH_NONE && ctl_wish_over(&look.due)) {
        memcpy(text, one->wish_text, sizeof(text));
        one->wish = CTL_WISH_NONE;
        one->wish_text[0] = '\0';

        if (ctl_scan_unwish(agent, one->name, text) != CTL_DONE) {
            return CTL_STORE;
        }
    }

    return ctl_scan_due(agent, one, &look);
}


/*
 * Reads the records. One that is damaged concerns no other credential:
 * CTL_REFUSED.
 */

static int
ctl_scan_read(ctl_agent_t *agent, ctl_agent_credential_t *one,
    ctl_look_t *look)
{
    ctl_t  *ctl;

    ctl = agent->ctl;

    if (ctl_credential_read(ctl, one->name, &look->record) == CTL_DONE
        && ctl_secret_record_read(ctl, one->name, &look->secret) == CTL_DONE)
    {
        one->damage_told = 0;
        ctl_scan_base(&look->secret, look->base);
        return CTL_DONE;
    }

    if (ctl->redis == NULL || ctl->redis->err) {
        return CTL_STORE;
    }

    if (!one->damage_told) {
        one->damage_told = 1;
        one->attention = 1;
        ctl_agent_log(agent, "not readable", one->name,
                      json_pack("{s:s, s:b}", "message", agent->message,
                                "alarm", 1));
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
    uint64_t                 clock;
    ctl_case_t              *due;
    const ctl_secret_t      *secret;
    const ctl_credential_t  *record;

    record = &look->record;
    secret = &look->secret;
    due = &look->due;
    clock = ctl_agent_clock();

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
    due->paused = (!agent->once && one->paused_until > clock);
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


static int
ctl_scan_due(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look)
{
    ctl_due_e  due;

    due = ctl_due(&look->due);

    if (due == CTL_DUE_NOT || agent->stopping
        || (agent->once
            && (one->tried
                || look->record.state == CTL_STATE_WRONG_CLIENT)))
    {
        return CTL_DONE;
    }

    if (ctl_oauth_calls(agent->oauth) >= CTL_AGENT_CALLS) {
        one->waiting = 1;
        return CTL_DONE;
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

    one->paused_until = ctl_agent_clock() + wait;
}


/* What a person has to do in time. */

static void
ctl_scan_warn(ctl_agent_t *agent, ctl_agent_credential_t *one,
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
        ctl_scan_warn_expiry(agent, one, "access", record->expires,
                             &one->told_access, 1);
    }

    if (secret->refresh) {
        ctl_scan_warn_expiry(agent, one, "refresh", secret->refresh_expires,
                             &one->told_refresh, helpless);
    }

    if (attempt != NULL && !look->due.own
        && agent->now > attempt->at + agent->takeover
        && one->told_attempt != agent->now / 1000 / CTL_SCAN_DAY)
    {
        one->told_attempt = agent->now / 1000 / CTL_SCAN_DAY;

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
ctl_scan_warn_expiry(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const char *token, uint64_t expires, uint64_t *told, int person)
{
    json_t   *fields;
    int64_t   left;
    uint64_t  now;

    now = agent->now / 1000;

    if (expires == 0 || expires > now + CTL_SCAN_WARN * CTL_SCAN_DAY
        || *told == now / CTL_SCAN_DAY)
    {
        return;
    }

    *told = now / CTL_SCAN_DAY;
    left = ((int64_t) expires - (int64_t) now) / CTL_SCAN_DAY;

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
