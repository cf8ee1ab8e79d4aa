
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * An attempt to refresh a credential's tokens: room in the journal, then the
 * attempt in the store, then the journal's word that a call is made, then the
 * call; its answer into the journal, and only then into the store.
 */


#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>
#include "ctl_agent.h"
#include "pinaud_scripts.h"


typedef struct {
    char          *refresh;
    char          *client_secret;
} ctl_attempt_secrets_t;


static int ctl_attempt_open(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look, ctl_attempt_secrets_t *secrets);
static char *ctl_attempt_secret(ctl_agent_t *agent, const char *kind,
    const char *name, uint64_t version, const unsigned char *sealed,
    size_t sealed_len, const char **why);
static int ctl_attempt_entry(ctl_agent_credential_t *one,
    const ctl_look_t *look);
static int ctl_attempt_claim(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look, int *claimed);
static int ctl_attempt_call(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look, const ctl_attempt_secrets_t *secrets);
static void ctl_attempt_trouble(ctl_agent_t *agent,
    ctl_agent_credential_t *one, const char *message, const char *cure);


int
ctl_attempt_begin(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look)
{
    int                    claimed, rc;
    char                   error[CTL_JOURNAL_ERROR];
    ctl_entry_t            had;
    ctl_attempt_secrets_t  secrets;

    had = one->entry;

    if (ctl_attempt_open(agent, one, look, &secrets) != 0
        || ctl_attempt_entry(one, look) != 0)
    {
        return CTL_DONE;
    }

    /* without room for its answer no call is made */

    if (ctl_journal_prepare(agent->journal, &one->entry, error) != 0) {
        one->entry = had;
        ctl_attempt_trouble(agent, one, error, NULL);
        return CTL_DONE;
    }

    one->begun = ctl_clock();

    rc = ctl_attempt_claim(agent, one, look, &claimed);

    if (rc != CTL_DONE) {
        return rc;
    }

    if (!claimed) {
        if (!one->entry.unknown) {
            ctl_attempt_forget(agent, one);
        }

        return CTL_DONE;
    }

    return ctl_attempt_call(agent, one, look, &secrets);
}


/* What can't be opened is no failure of Pinterest's: it is only told. */

static int
ctl_attempt_open(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look, ctl_attempt_secrets_t *secrets)
{
    const char          *what, *why;
    const ctl_secret_t  *secret;

    secret = &look->secret;

    what = "refresh token";
    secrets->refresh = ctl_attempt_secret(agent, "refresh", one->name,
                                          secret->refresh_version,
                                          secret->sealed_refresh,
                                          secret->sealed_refresh_len, &why);

    if (secrets->refresh != NULL) {
        what = "client secret";
        secrets->client_secret = ctl_attempt_secret(agent, "client-secret",
                                                    one->name, 0,
                                                    secret->sealed_client,
                                                    secret->sealed_client_len,
                                                    &why);

        if (secrets->client_secret != NULL) {
            return 0;
        }
    }

    ctl_attempt_trouble(agent, one,
                        ctl_format(agent->ctl, "the %s does not open: %s",
                                   what, why),
                        ctl_format(agent->ctl, "pinaudctl credential "
                                   "authorize %s%s", one->name,
                                   secrets->refresh == NULL ? ""
                                   : " --client-secret-file FILE"));

    return -1;
}


static char *
ctl_attempt_secret(ctl_agent_t *agent, const char *kind, const char *name,
    uint64_t version, const unsigned char *sealed, size_t sealed_len,
    const char **why)
{
    char                 *secret;
    size_t                id_len, len;
    pinaud_open_e         rc;
    const unsigned char  *id;

    rc = ctl_unseal(agent->ctl, agent->ring, PINAUD_DOMAIN_AGENT, kind, name,
                    version, sealed, sealed_len, &secret, &len);

    if (rc == PINAUD_OPENED) {
        return secret;
    }

    id_len = pinaud_sealed_by(sealed, sealed_len, &id);

    *why = (rc == PINAUD_SEAL_UNKNOWN_KEY)
           ? ctl_format(agent->ctl, "key %.*s is not in the seal key file: "
                        "add it, if it is not lost",
                        (int) id_len, id)
           : "it is altered, or of another record";

    return NULL;
}


/*
 * A new attempt, also where one of this agent is tried again. The version that
 * follows is newer than any that somebody has seen, even if the store lost it.
 */

static int
ctl_attempt_entry(ctl_agent_credential_t *one, const ctl_look_t *look)
{
    unsigned           i;
    ctl_entry_t       *entry;
    unsigned char      random[(CTL_ENTRY_ID - 1) / 2];
    const ctl_case_t  *due;

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return -1;
    }

    entry = &one->entry;
    due = &look->due;

    memset(entry, 0, sizeof(ctl_entry_t));
    memcpy(entry->name, one->name, sizeof(entry->name));
    memcpy(entry->base, look->base, sizeof(entry->base));

    for (i = 0; i < sizeof(random); i++) {
        sprintf(entry->id + 2 * i, "%02x", random[i]);
    }

    entry->phase = CTL_PHASE_PREPARED;
    entry->unknown = (due->attempt != NULL || due->unresolved);
    entry->demanded = (due->wish == CTL_WISH_REFUSED
                       && !ctl_wish_over(due));
    entry->refresh_version = look->secret.refresh_version;
    entry->version = look->record.version;
    entry->next_version = entry->version + 1;

    if (due->wish != CTL_WISH_NONE && due->wish_version > entry->version
        && due->wish_version - entry->version < CTL_WISH_JUMP)
    {
        entry->next_version = due->wish_version + 1;
    }

    /* whose attempt it was at first */

    if (!entry->unknown) {
        one->lost_host[0] = '\0';

    } else if (due->attempt != NULL && !due->own) {
        memcpy(one->lost_host, due->attempt->host, sizeof(one->lost_host));
    }

    return 0;
}


static int
ctl_attempt_claim(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look, int *claimed)
{
    int                   takeover;
    ctl_t                *ctl;
    redisReply           *reply;
    ctl_words_t          *words;
    ctl_entry_t          *entry;
    const ctl_attempt_t  *attempt;

    ctl = agent->ctl;
    entry = &one->entry;
    attempt = look->due.attempt;
    takeover = (attempt != NULL && (!look->due.own || attempt->turn != 1));
    *claimed = 0;

    words = ctl_words(ctl, "EVAL", pinaud_script_refresh_begin, "2",
                      ctl_key(ctl, pinaud_key_secret, one->name),
                      ctl_key(ctl, pinaud_key_credential, one->name),
                      ctl_number(ctl, entry->refresh_version),
                      ctl_copy(ctl, entry->base, strlen(entry->base)),
                      look->secret.attempt ? look->secret.attempt : "",
                      ctl_format(ctl, "%s %s", agent->host,
                                 ctl_journal_id(agent->journal)),
                      takeover ? "2" : "1",
                      ctl_copy(ctl, entry->id, strlen(entry->id)), NULL);

    reply = ctl_ask(ctl, words, REDIS_REPLY_ARRAY);

    if (reply == NULL) {
        return CTL_STORE;
    }

    if (reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        return CTL_DONE;
    }

    *claimed = 1;
    entry->at = strtoull(reply->element[0]->str, NULL, 10);
    entry->version = strtoull(reply->element[1]->str, NULL, 10);

    if (entry->next_version <= entry->version) {
        entry->next_version = entry->version + 1;
    }

    return CTL_DONE;
}


/*
 * Nothing is sent by who was stopped for so long that somebody else may have
 * taken the attempt over.
 */

static int
ctl_attempt_call(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const ctl_look_t *look, const ctl_attempt_secrets_t *secrets)
{
    int          failed;
    char         error[CTL_JOURNAL_ERROR];
    const char  *message;

    one->entry.phase = CTL_PHASE_CALLING;
    failed = ctl_journal_mark(agent->journal, &one->entry, error);
    message = error;

    if (!failed && ctl_clock() - one->begun > (int64_t) agent->takeover / 2) {
        failed = 1;
        message = "this agent was stopped, its attempt is too old";
    }

    if (!failed
        && ctl_oauth_refresh(agent->oauth, look->secret.client_id,
                             secrets->client_secret, secrets->refresh, one)
           != 0)
    {
        failed = 1;
        message = "out of memory";
    }

    if (failed) {
        ctl_attempt_trouble(agent, one, message, NULL);
        one->entry.phase = CTL_PHASE_PREPARED;

        return one->entry.unknown ? CTL_DONE : ctl_attempt_undo(agent, one);
    }

    one->in_flight = 1;
    one->tried = 1;

    ctl_agent_log(agent, look->due.attempt && !look->due.own ? "takes over"
                         : one->entry.unknown ? "tries again" : "refreshes",
                  one->name,
                  json_pack("{s:I, s:I, s:s*}", "version",
                            (json_int_t) one->entry.version,
                            "refresh_version",
                            (json_int_t) one->entry.refresh_version, "from",
                            one->lost_host[0] ? one->lost_host : NULL));

    return CTL_DONE;
}


static void
ctl_attempt_trouble(ctl_agent_t *agent, ctl_agent_credential_t *one,
    const char *message, const char *cure)
{
    one->tried = 1;
    one->attention = 1;
    one->trouble++;

    ctl_agent_pause(one, one->trouble, 0);
    ctl_agent_log(agent, "not begun", one->name,
                  json_pack("{s:s, s:s*, s:b}", "message", message, "cure",
                            cure, "alarm", 1));
}
