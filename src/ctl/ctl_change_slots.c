
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Changes in a cluster, where no transaction spans slots: what is in one slot
 * is done at once, by a script that also looks whether what was read there
 * still holds. One slot follows the other in the order of the commands, but
 * names leave sets last: so whatever is cut off leaves at worst a name that
 * nobody holds, which is skipped, and is mended by doing the same again.
 */


#include <string.h>
#include "ctl.h"
#include "ctl_store.h"
#include "pinaud_scripts.h"
#include "pinaud_slot.h"


struct ctl_guard_s {
    ctl_guard_t        *next;
    const char         *key;
    const char         *print;         /* its fingerprint when it was read */
    unsigned            slot;
};


/* What is done at once. */

typedef struct ctl_group_s  ctl_group_t;

struct ctl_group_s {
    ctl_group_t        *next;
    unsigned            slot;
    unsigned            last:1;        /* names leave sets */
    unsigned            ncommands;
    const ctl_words_t **commands;
    ctl_guard_t        *guards;        /* of this slot */
};


static ctl_group_t *ctl_slots_groups(ctl_t *ctl);
static ctl_group_t *ctl_slots_group(ctl_t *ctl, ctl_group_t **groups,
    unsigned slot, int last);
static void ctl_slots_guard(ctl_t *ctl, ctl_group_t **groups);
static void ctl_slots_command(ctl_t *ctl, ctl_group_t *group,
    const ctl_words_t *words);
static int ctl_slots_do(ctl_t *ctl, const ctl_group_t *group);
static ctl_words_t *ctl_slots_words(ctl_t *ctl, const ctl_group_t *group);
static int ctl_slots_keys(const ctl_words_t *words);


int
ctl_slots_watch(ctl_t *ctl, const char *key)
{
    redisReply   *reply;
    ctl_guard_t  *guard;

    reply = ctl_ask(ctl, ctl_words(ctl, "EVAL", pinaud_script_guard, "1", key,
                                   NULL),
                    REDIS_REPLY_STRING);

    if (reply == NULL) {
        return CTL_STORE;
    }

    guard = ctl_alloc(ctl, sizeof(ctl_guard_t));
    guard->key = key;
    guard->print = reply->str;
    guard->slot = pinaud_slot(key, strlen(key));
    guard->next = ctl->guards;
    ctl->guards = guard;

    return CTL_DONE;
}


/* What is only read can't be compared over slots: then nothing is asked. */

int
ctl_slots_exec(ctl_t *ctl)
{
    int           done, rc;
    ctl_group_t  *group;

    if (ctl->queue == NULL) {
        return CTL_DONE;
    }

    done = 0;

    for (group = ctl_slots_groups(ctl); group; group = group->next) {
        rc = ctl_slots_do(ctl, group);

        if (rc == CTL_AGAIN) {
            return rc;
        }

        if (rc != CTL_DONE) {
            return done ? ctl_fail(rc, "a part of the change was made: do "
                                   "the same again")
                        : rc;
        }

        done |= (group->ncommands != 0);
    }

    return CTL_DONE;
}


static ctl_group_t *
ctl_slots_groups(ctl_t *ctl)
{
    int                 last;
    unsigned            slot;
    ctl_group_t        *groups;
    const ctl_words_t  *words;

    groups = NULL;

    for (last = 0; last <= 1; last++) {
        for (words = ctl->queue; words; words = words->next) {

            if ((strcmp(words->argv[0], "SREM") == 0) != last) {
                continue;
            }

            slot = pinaud_slot(words->argv[1], words->lens[1]);
            ctl_slots_command(ctl, ctl_slots_group(ctl, &groups, slot, last),
                              words);
        }
    }

    ctl_slots_guard(ctl, &groups);

    return groups;
}


/* An old one, or a new one behind all. */

static ctl_group_t *
ctl_slots_group(ctl_t *ctl, ctl_group_t **groups, unsigned slot, int last)
{
    ctl_group_t  *group;

    for ( /* void */ ; *groups; groups = &(*groups)->next) {
        group = *groups;

        if (group->slot == slot && (int) group->last == last) {
            return group;
        }
    }

    group = ctl_alloc(ctl, sizeof(ctl_group_t));
    group->slot = slot;
    group->last = last ? 1 : 0;
    *groups = group;

    return group;
}


/*
 * Each guard goes to the first that is done in its slot; where nothing is
 * done there, it comes before all.
 */

static void
ctl_slots_guard(ctl_t *ctl, ctl_group_t **groups)
{
    ctl_group_t  *group;
    ctl_guard_t  *guard, *next;

    for (guard = ctl->guards; guard; guard = next) {
        next = guard->next;

        for (group = *groups; group; group = group->next) {
            if (group->slot == guard->slot) {
                break;
            }
        }

        if (group == NULL) {
            group = ctl_alloc(ctl, sizeof(ctl_group_t));
            group->slot = guard->slot;
            group->next = *groups;
            *groups = group;
        }

        guard->next = group->guards;
        group->guards = guard;
    }

    ctl->guards = NULL;
}


static void
ctl_slots_command(ctl_t *ctl, ctl_group_t *group, const ctl_words_t *words)
{
    unsigned             n;
    const ctl_words_t  **more;

    n = group->ncommands;

    /* room doubles at each power of two */

    if ((n & (n - 1)) == 0) {
        more = ctl_alloc(ctl, sizeof(ctl_words_t *) * (n ? n * 2 : 1));

        if (n) {
            memcpy(more, group->commands, sizeof(ctl_words_t *) * n);
        }

        group->commands = more;
    }

    group->commands[group->ncommands++] = words;
}


static int
ctl_slots_do(ctl_t *ctl, const ctl_group_t *group)
{
    int          lost;
    redisReply  *reply;
    const char  *why;

    reply = ctl_cluster_talk(ctl, ctl_slots_words(ctl, group),
                             REDIS_REPLY_INTEGER, &why, &lost);

    if (reply == NULL) {
        ctl_fail(CTL_STORE, "%s", why);

        return (lost && group->ncommands) ? ctl_exec_unknown() : CTL_STORE;
    }

    return reply->integer ? CTL_DONE : CTL_AGAIN;
}


static ctl_words_t *
ctl_slots_words(ctl_t *ctl, const ctl_group_t *group)
{
    int                 k, keys;
    unsigned            count, guards, i;
    ctl_words_t        *words;
    const ctl_guard_t  *guard;
    const ctl_words_t  *command;

    guards = 0;

    for (guard = group->guards; guard; guard = guard->next) {
        guards++;
    }

    count = guards;

    for (i = 0; i < group->ncommands; i++) {
        count += (unsigned) ctl_slots_keys(group->commands[i]);
    }

    words = ctl_words(ctl, "EVAL", pinaud_script_change,
                      ctl_number(ctl, count), NULL);

    for (guard = group->guards; guard; guard = guard->next) {
        ctl_word(ctl, words, guard->key);
    }

    for (i = 0; i < group->ncommands; i++) {
        command = group->commands[i];
        keys = ctl_slots_keys(command);

        for (k = 1; k <= keys; k++) {
            ctl_word_bytes(ctl, words, command->argv[k], command->lens[k]);
        }
    }

    ctl_word(ctl, words, ctl_number(ctl, guards));

    for (guard = group->guards; guard; guard = guard->next) {
        ctl_word(ctl, words, guard->print);
    }

    for (i = 0; i < group->ncommands; i++) {
        command = group->commands[i];
        ctl_word(ctl, words, ctl_number(ctl, (uint64_t) command->argc));

        for (k = 0; k < command->argc; k++) {
            ctl_word_bytes(ctl, words, command->argv[k], command->lens[k]);
        }
    }

    return words;
}


/* How many of its words are keys: all of DEL's, one of any other. */

static int
ctl_slots_keys(const ctl_words_t *words)
{
    return (strcmp(words->argv[0], "DEL") == 0) ? words->argc - 1 : 1;
}
