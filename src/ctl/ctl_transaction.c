
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Changes, all or none: what a plan has read is watched, so that nobody's
 * change is lost, and all commands are done by one EXEC.
 */


#include <string.h>
#include <time.h>
#include <openssl/rand.h>
#include "ctl.h"
#include "ctl_store.h"
#include "pinaud_scripts.h"


#define CTL_TRANSACT_TRIES  20


struct ctl_move_s {
    ctl_move_t    *next;
    ctl_words_t   *take;
    ctl_words_t   *carry;
};


static ctl_words_t *ctl_move_words(ctl_t *ctl, const char *script,
    const ctl_account_t *account, const char *credential);
static int ctl_move(ctl_t *ctl, ctl_move_t *move);
static int ctl_exec(ctl_t *ctl);
static int ctl_exec_replies(ctl_t *ctl, const ctl_words_t *words);
static void ctl_pause(void);


int
ctl_transact(ctl_t *ctl, int (*plan)(ctl_t *ctl, void *data), void *data)
{
    int          i, rc;
    ctl_move_t  *move;

    for (i = 0; i < CTL_TRANSACT_TRIES; i++) {

        ctl->queue = NULL;
        ctl->queue_last = &ctl->queue;
        ctl->moves = NULL;
        ctl->guards = NULL;
        ctl->changes = NULL;
        ctl->changes_last = &ctl->changes;

        rc = plan(ctl, data);

        for (move = ctl->moves; rc == CTL_DONE && move; move = move->next) {
            rc = ctl_move(ctl, move);
        }

        if (rc == CTL_DONE) {
            rc = ctl_store_clustered(ctl->store) ? ctl_slots_exec(ctl)
                                                 : ctl_exec(ctl);
        }

        if (rc != CTL_AGAIN) {
            return rc;
        }

        ctl_pause();
    }

    return ctl_fail(CTL_REFUSED, "others keep changing the same records: "
                    "nothing was changed, try again");
}


int
ctl_watch(ctl_t *ctl, const char *key)
{
    return ctl_watch_keys(ctl, &key, 1);
}


int
ctl_watch_keys(ctl_t *ctl, const char **keys, unsigned n)
{
    unsigned      i;
    ctl_words_t  *words;

    if (ctl_store_clustered(ctl->store)) {
        for (i = 0; i < n; i++) {
            if (ctl_slots_watch(ctl, keys[i]) != CTL_DONE) {
                return CTL_STORE;
            }
        }

        return CTL_DONE;
    }

    if (n == 0) {
        return CTL_DONE;
    }

    words = ctl_words(ctl, "WATCH", NULL);

    for (i = 0; i < n; i++) {
        ctl_word(ctl, words, keys[i]);
    }

    return ctl_ask(ctl, words, REDIS_REPLY_STATUS) ? CTL_DONE : CTL_STORE;
}


void
ctl_queue(ctl_t *ctl, ctl_words_t *words)
{
    *ctl->queue_last = words;
    ctl->queue_last = &words->next;
}


void
ctl_queue_drop(ctl_t *ctl)
{
    ctl->moves = NULL;
    ctl->queue = NULL;
    ctl->queue_last = &ctl->queue;
}


/*
 * The account's buckets stop under the old credential, and their counts are
 * under the new one, before any gateway learns of it. Both scripts may be
 * run again: where the transaction fails nothing was lost.
 */

void
ctl_queue_move(ctl_t *ctl, const ctl_account_t *account,
    const char *credential)
{
    ctl_move_t  *move;

    move = ctl_alloc(ctl, sizeof(ctl_move_t));
    move->take = ctl_move_words(ctl, pinaud_script_move, account,
                                account->credential);
    move->carry = ctl_move_words(ctl, pinaud_script_carry, account,
                                 credential);
    move->next = ctl->moves;
    ctl->moves = move;
}


/* A script's call with all buckets of an account under a credential. */

static ctl_words_t *
ctl_move_words(ctl_t *ctl, const char *script, const ctl_account_t *account,
    const char *credential)
{
    char               key[PINAUD_KEY_MAX];
    size_t             id_len, len, name_len;
    unsigned           count, i;
    const char        *id;
    ctl_words_t       *words;
    const ctl_team_t  *team;

    id = account->id;
    id_len = strlen(id);
    len = strlen(credential);

    count = 2 + account->nteams + (account->reserved != 0);

    for (i = 0; i < account->nteams; i++) {
        count += (account->teams[i].reserve != 0);
    }

    words = ctl_words(ctl, "EVAL", script, ctl_format(ctl, "%u", count), NULL);

    pinaud_key_account_bucket(key, credential, len, id, id_len);
    ctl_word(ctl, words, ctl_copy(ctl, key, strlen(key)));

    pinaud_key_leased(key, credential, len, id, id_len);
    ctl_word(ctl, words, ctl_copy(ctl, key, strlen(key)));

    if (account->reserved) {
        pinaud_key_shared(key, credential, len, id, id_len);
        ctl_word(ctl, words, ctl_copy(ctl, key, strlen(key)));
    }

    for (i = 0; i < account->nteams; i++) {
        team = &account->teams[i];
        name_len = strlen(team->name);

        pinaud_key_team_bucket(key, credential, len, id, id_len, team->name,
                               name_len);
        ctl_word(ctl, words, ctl_copy(ctl, key, strlen(key)));

        if (team->reserve) {
            pinaud_key_reserve(key, credential, len, id, id_len, team->name,
                               name_len);
            ctl_word(ctl, words, ctl_copy(ctl, key, strlen(key)));
        }
    }

    return words;
}


static int
ctl_move(ctl_t *ctl, ctl_move_t *move)
{
    size_t       i;
    redisReply  *values;

    values = ctl_ask(ctl, move->take, REDIS_REPLY_ARRAY);

    if (values == NULL) {
        return CTL_STORE;
    }

    for (i = 0; i < values->elements; i++) {
        if (values->element[i]->type != REDIS_REPLY_STRING) {
            return ctl_store_refused(ctl, move->take, values);
        }

        ctl_word_bytes(ctl, move->carry, values->element[i]->str,
                       (size_t) values->element[i]->len);
    }

    return ctl_ask(ctl, move->carry, REDIS_REPLY_INTEGER) ? CTL_DONE
                                                          : CTL_STORE;
}


/* An empty queue too: then it tells whether what was read fits together. */

static int
ctl_exec(ctl_t *ctl)
{
    ctl_words_t  *multi, *words;

    multi = ctl_words(ctl, "MULTI", NULL);

    ctl_queue(ctl, ctl_words(ctl, "EXEC", NULL));
    multi->next = ctl->queue;

    for (words = multi; words; words = words->next) {
        if (ctl_store_send(ctl, words) != CTL_DONE) {
            return ctl_exec_unknown();
        }
    }

    return ctl_exec_replies(ctl, multi);
}


static int
ctl_exec_replies(ctl_t *ctl, const ctl_words_t *words)
{
    size_t              i;
    redisReply         *reply;
    const redisReply   *failed;
    const ctl_words_t  *culprit;

    failed = NULL;
    culprit = NULL;

    for ( ;; ) {
        reply = ctl_store_receive(ctl);

        if (reply == NULL) {
            return ctl_exec_unknown();
        }

        if (words->next == NULL) {
            break;
        }

        /* "OK" and "QUEUED"; after any error EXEC does nothing */

        if (reply->type != REDIS_REPLY_STATUS && failed == NULL) {
            failed = reply;
            culprit = words;
        }

        words = words->next;
    }

    if (failed != NULL) {
        return ctl_store_refused(ctl, culprit, failed);
    }

    if (reply->type == REDIS_REPLY_NIL) {
        return CTL_AGAIN;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        return ctl_store_refused(ctl, words, reply);
    }

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type == REDIS_REPLY_ERROR) {
            return ctl_store_refused(ctl, words, reply->element[i]);
        }
    }

    return CTL_DONE;
}


int
ctl_exec_unknown(void)
{
    return ctl_fail(CTL_STORE, "it is not known whether the change was made: "
                    "look before you try again");
}


/* Some milliseconds, not the same for all who wait. */

static void
ctl_pause(void)
{
    unsigned char    random;
    struct timespec  pause;

    random = 0;
    (void) RAND_bytes(&random, 1);

    pause.tv_sec = 0;
    pause.tv_nsec = (random % 32 + 1) * 1000000L;

    (void) nanosleep(&pause, NULL);
}
