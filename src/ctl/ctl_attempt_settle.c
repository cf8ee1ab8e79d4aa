
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How an attempt ends: in the store, and in the journal.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl_agent.h"
#include "pinaud_scripts.h"


/*
 * When the store is looked at again, in ms: soon, when an append-only file that
 * is synced every second has it; then for as long as a master may go on that is
 * none any more, since others have made a replica their master.
 */

#define CTL_SETTLE_SOON   3000
#define CTL_SETTLE_AGAIN  30000
#define CTL_SETTLE_LAST   300000


static void ctl_settle_journal(ctl_agent_t *agent,
    ctl_agent_credential_t *one);
static const char *ctl_settle_ask(ctl_agent_t *agent,
    ctl_agent_credential_t *one);
static int ctl_settle_seal(ctl_agent_t *agent, ctl_words_t *words,
    pinaud_domain_e domain, const char *kind, const char *name,
    uint64_t version, const char *secret);
static void ctl_settle_told(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const char *reply);
static ctl_words_t *ctl_settle_words(ctl_agent_t *agent, const char *script,
    const char *name);


int
ctl_attempt_settle(ctl_agent_t *agent, ctl_agent_credential_t *one, int last)
{
    int64_t      now;
    const char  *reply;

    reply = ctl_settle_ask(agent, one);

    if (reply == NULL) {
        return CTL_STORE;
    }

    now = ctl_clock();
    ctl_settle_told(agent, one, reply);

    if (strcmp(reply, "newer") == 0 && one->kept && !last
        && now < one->kept_at + CTL_SETTLE_LAST)
    {
        one->keep_at = now + CTL_SETTLE_AGAIN;
        return CTL_DONE;
    }

    if (strcmp(reply, "kept") != 0 && strcmp(reply, "refresh") != 0) {
        ctl_attempt_forget(agent, one);
        return CTL_DONE;
    }

    one->kept = 1;
    one->kept_at = now;
    one->keep_at = now + CTL_SETTLE_SOON;

    ctl_settle_journal(agent, one);

    return CTL_DONE;
}


/* A disk that was full may have room by now, should the store lose it. */

static void
ctl_settle_journal(ctl_agent_t *agent, ctl_agent_credential_t *one)
{
    char  error[CTL_JOURNAL_ERROR];

    if (one->unjournalled
        && ctl_journal_prepare(agent->journal, &one->entry, error) == 0
        && ctl_journal_answer(agent->journal, &one->entry, &one->grant, error)
           == 0)
    {
        one->unjournalled = 0;
    }
}


/* The script's word; NULL after a failure. */

static const char *
ctl_settle_ask(ctl_agent_t *agent, ctl_agent_credential_t *one)
{
    ctl_t              *ctl;
    redisReply         *reply;
    ctl_words_t        *words;
    const ctl_entry_t  *entry;
    const ctl_grant_t  *grant;

    ctl = agent->ctl;
    entry = &one->entry;
    grant = &one->grant;

    words = ctl_settle_words(agent, pinaud_script_refresh_settle, one->name);

    ctl_word(ctl, words, ctl_number(ctl, entry->refresh_version));
    ctl_word(ctl, words, ctl_copy(ctl, entry->base, strlen(entry->base)));
    ctl_word(ctl, words, ctl_number(ctl, entry->version));
    ctl_word(ctl, words, ctl_number(ctl, entry->next_version));

    if (ctl_settle_seal(agent, words, PINAUD_DOMAIN_GATEWAY, "access",
                        one->name, entry->next_version, grant->access)
        != 0)
    {
        return NULL;
    }

    ctl_word(ctl, words, ctl_number(ctl, grant->expires));
    ctl_word(ctl, words, ctl_copy(ctl, grant->scope, strlen(grant->scope)));

    if (grant->refresh[0] == '\0') {
        ctl_word(ctl, words, "");

    } else if (ctl_settle_seal(agent, words, PINAUD_DOMAIN_AGENT, "refresh",
                               one->name, entry->refresh_version + 1,
                               grant->refresh)
               != 0)
    {
        return NULL;
    }

    ctl_word(ctl, words, ctl_number(ctl, grant->refresh_expires));
    ctl_word(ctl, words, entry->demanded ? "demanded" : "");

    reply = ctl_ask(ctl, words, REDIS_REPLY_STRING);

    return reply ? reply->str : NULL;
}


static int
ctl_settle_seal(ctl_agent_t *agent, ctl_words_t *words,
    pinaud_domain_e domain, const char *kind, const char *name,
    uint64_t version, const char *secret)
{
    size_t          aad_len, len;
    unsigned char   aad[PINAUD_SEAL_AAD_MAX], *sealed;

    aad_len = pinaud_seal_aad(aad, kind, name, strlen(name), version);

    len = strlen(secret);
    sealed = ctl_alloc(agent->ctl, len + PINAUD_SEAL_OVERHEAD);
    len = pinaud_seal(agent->ring, domain, aad, aad_len,
                      (const unsigned char *) secret, len, sealed);

    if (len == 0) {
        return ctl_fail(-1, "libcrypto does not seal");
    }

    ctl_word_bytes(agent->ctl, words, sealed, len);

    return 0;
}


static void
ctl_settle_told(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const char *reply)
{
    json_t             *fields;
    const ctl_grant_t  *grant;

    grant = &one->grant;

    if (strcmp(reply, "newer") == 0) {
        if (!one->kept) {
            ctl_agent_log(agent, "overtaken", one->name, NULL);
        }

        return;
    }

    if (strcmp(reply, "gone") == 0) {
        ctl_agent_log(agent, "gone", one->name, NULL);
        return;
    }

    fields = json_pack("{s:I, s:s, s:I}", "version",
                       (json_int_t) one->entry.next_version, "expires",
                       ctl_time(agent->ctl, grant->expires), "refresh_version",
                       (json_int_t) (one->entry.refresh_version
                                     + (grant->refresh[0] != '\0')));

    if (grant->refresh[0] != '\0') {
        json_object_set_new(fields, "refresh_expires",
                            json_string(ctl_time(agent->ctl,
                                                 grant->refresh_expires)));
    }

    ctl_agent_log(agent, one->kept ? "recovered"
                         : strcmp(reply, "kept") == 0 ? "refreshed"
                                                      : "refresh token stored",
                  one->name, fields);
}


int
ctl_attempt_fail(ctl_agent_t *agent, ctl_agent_credential_t *one, int keep,
    const char *state, const char *reason, int *stood)
{
    ctl_t        *ctl;
    redisReply   *reply;
    ctl_words_t  *words;

    ctl = agent->ctl;
    *stood = 0;

    words = ctl_settle_words(agent, pinaud_script_refresh_fail, one->name);

    ctl_word(ctl, words, ctl_copy(ctl, one->entry.id, strlen(one->entry.id)));
    ctl_word(ctl, words, keep ? "keep" : "clear");
    ctl_word(ctl, words, state ? state : "");
    ctl_word(ctl, words, reason ? ctl_copy(ctl, reason, strlen(reason)) : "");

    reply = ctl_ask(ctl, words, REDIS_REPLY_INTEGER);

    if (reply == NULL) {
        return CTL_STORE;
    }

    *stood = (reply->integer == 1);

    return CTL_DONE;
}


int
ctl_attempt_undo(ctl_agent_t *agent, ctl_agent_credential_t *one)
{
    int  stood;

    if (ctl_attempt_fail(agent, one, 0, NULL, NULL, &stood) != CTL_DONE) {
        return CTL_STORE;
    }

    ctl_attempt_forget(agent, one);

    return CTL_DONE;
}


/*
 * Where the journal can't be written it is tried again at the next start, which
 * does no harm: the store has these tokens or newer ones.
 */

void
ctl_attempt_forget(ctl_agent_t *agent, ctl_agent_credential_t *one)
{
    char  error[CTL_JOURNAL_ERROR];

    if (ctl_journal_clear(agent->journal, one->name, error) != 0) {
        ctl_agent_log(agent, "journal", one->name,
                      json_pack("{s:s, s:b}", "message", error, "alarm", 1));
    }

    ctl_wipe_free(one->room);
    one->room = NULL;

    memset(&one->entry, 0, sizeof(ctl_entry_t));
    memset(&one->grant, 0, sizeof(ctl_grant_t));
    one->kept = 0;
    one->unjournalled = 0;
}


void
ctl_attempt_recall(ctl_agent_t *agent, ctl_agent_credential_t *one)
{
    int   rc;
    char  error[CTL_JOURNAL_ERROR];

    one->room = malloc(CTL_JOURNAL_ROOM);

    if (one->room == NULL) {
        exit(ctl_fail(CTL_REFUSED, "out of memory"));
    }

    rc = ctl_journal_granted(agent->journal, &one->entry, one->room,
                             &one->grant, error);

    /* as a rule the store has it, and it was to be looked at once more */

    if (rc == 0) {
        one->kept = 1;
        one->kept_at = ctl_clock();
        return;
    }

    free(one->room);
    one->room = NULL;
    one->locked = (rc == -1);

    ctl_agent_log(agent, "recalled", one->name,
                  rc == 1 ? json_pack("{s:s}", "message",
                                one->entry.phase == CTL_PHASE_PREPARED
                                ? "an attempt was begun, and nothing sent"
                                : "what became of a call is not known")
                          : json_pack("{s:s, s:b}", "message", error, "alarm",
                                      1));
}


static ctl_words_t *
ctl_settle_words(ctl_agent_t *agent, const char *script, const char *name)
{
    ctl_t  *ctl;

    ctl = agent->ctl;

    return ctl_words(ctl, "EVAL", script, "2",
                     ctl_key(ctl, pinaud_key_secret, name),
                     ctl_key(ctl, pinaud_key_credential, name), NULL);
}
