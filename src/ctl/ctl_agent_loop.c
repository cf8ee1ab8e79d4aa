
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The agent at work: calls in flight, and between them the store.
 */


#include <string.h>
#include <unistd.h>
#include <sys/signalfd.h>
#include "ctl_agent.h"


#define CTL_AGENT_SCAN    5000         /* ms, as all of these */
#define CTL_AGENT_WISHES  200
#define CTL_AGENT_LOST    10000        /* between attempts to connect */


static void ctl_agent_recall(void *data, const ctl_entry_t *entry);
static int ctl_agent_idle(ctl_agent_t *agent);
static int ctl_agent_once_done(ctl_agent_t *agent);
static int ctl_agent_needs_person(ctl_agent_t *agent);
static int ctl_agent_work(ctl_agent_t *agent);
static int ctl_agent_connect(ctl_agent_t *agent);
static void ctl_agent_lost(ctl_agent_t *agent);
static int ctl_agent_wait(ctl_agent_t *agent);
static void ctl_agent_signal(ctl_agent_t *agent);


int
ctl_agent_run(ctl_agent_t *agent)
{
    char  error[CTL_JOURNAL_ERROR];

    if (ctl_journal_read(agent->journal, ctl_agent_recall, agent, error)
        != 0)
    {
        ctl_agent_log(agent, "journal", NULL,
                      json_pack("{s:s, s:b}", "message", error, "alarm", 1));
        return CTL_REFUSED;
    }

    agent->start = ctl_pool_mark(agent->ctl);

    for ( ;; ) {

        if (!agent->stopping && ctl_agent_idle(agent) != CTL_DONE) {
            ctl_agent_lost(agent);
        }

        if (ctl_oauth_calls(agent->oauth) == 0) {

            if (agent->stopping || ctl_agent_once_done(agent)) {
                break;
            }

            if (agent->once && !agent->connected) {
                return CTL_STORE;
            }
        }

        if (ctl_agent_wait(agent) != CTL_DONE) {
            ctl_agent_lost(agent);
        }
    }

    return (agent->once && ctl_agent_needs_person(agent)) ? CTL_REFUSED
                                                          : CTL_DONE;
}


static void
ctl_agent_recall(void *data, const ctl_entry_t *entry)
{
    ctl_agent_t             *agent;
    ctl_agent_credential_t  *one;

    agent = data;

    one = ctl_agent_find(agent, entry->name, 1);
    one->entry = *entry;

    ctl_attempt_recall(agent, one);
}


/* What there is to do between calls; memory of a turn goes with it. */

static int
ctl_agent_idle(ctl_agent_t *agent)
{
    int           rc;
    ctl_block_t  *mark;

    if (!agent->connected && ctl_agent_connect(agent) != CTL_DONE) {
        return CTL_DONE;
    }

    mark = ctl_pool_mark(agent->ctl);
    rc = ctl_agent_work(agent);

    if (rc != CTL_DONE) {
        return rc;
    }

    ctl_pool_release(agent->ctl, mark);

    /* one that connects but does not do its work is still lost */

    if (agent->lost != 0) {
        agent->lost = 0;
        ctl_agent_log(agent, "store is back", NULL, NULL);
    }

    return CTL_DONE;
}


static int
ctl_agent_work(ctl_agent_t *agent)
{
    int      rc;
    int64_t  clock;

    clock = ctl_clock();
    rc = CTL_DONE;

    if (agent->scan_at <= clock) {
        agent->scan_at = clock + CTL_AGENT_SCAN;
        rc = ctl_agent_scan(agent);
    }

    if (rc == CTL_DONE && agent->wishes_at <= clock) {
        agent->wishes_at = clock + CTL_AGENT_WISHES;
        rc = ctl_agent_wishes(agent);
    }

    return (rc == CTL_DONE) ? ctl_agent_waiting(agent) : rc;
}


/* Everything is tried that is due, and the store has what was brought. */

static int
ctl_agent_once_done(ctl_agent_t *agent)
{
    unsigned                       i;
    const ctl_agent_credential_t  *one;

    if (!agent->once || !agent->connected) {
        return 0;
    }

    for (i = 0; i < agent->n; i++) {
        one = agent->all[i];

        if (one->waiting || (one->room != NULL && !one->kept)) {
            return 0;
        }
    }

    return 1;
}


static int
ctl_agent_needs_person(ctl_agent_t *agent)
{
    unsigned  i;

    for (i = 0; i < agent->n; i++) {
        if (agent->all[i]->attention || agent->all[i]->locked) {
            return 1;
        }
    }

    return 0;
}


/*
 * Not while calls are in flight: their answers would have to wait for a Redis
 * that does not answer.
 */

static int
ctl_agent_connect(ctl_agent_t *agent)
{
    unsigned  i;

    if (agent->connect_at > ctl_clock()
        || ctl_oauth_calls(agent->oauth) != 0)
    {
        return CTL_STORE;
    }

    if (ctl_store_open(agent->ctl) != CTL_DONE) {
        ctl_agent_lost(agent);
        return CTL_STORE;
    }

    /* it may be another server, or have lost what it had */

    for (i = 0; i < agent->n; i++) {
        agent->all[i]->keep_at = 0;
    }

    agent->connected = 1;
    agent->scan_at = 0;
    agent->wishes_at = 0;

    return CTL_DONE;
}


static void
ctl_agent_lost(ctl_agent_t *agent)
{
    uint64_t  wait;

    if (agent->lost++ == 0) {
        ctl_agent_log(agent, "store is lost", NULL,
                      json_pack("{s:s}", "message", agent->message));
    }

    agent->connected = 0;

    ctl_store_close(agent->ctl);
    ctl_pool_release(agent->ctl, agent->start);

    wait = ctl_backoff(agent->lost, (unsigned) ctl_clock());
    agent->connect_at = ctl_clock()
                        + (int64_t) (wait < CTL_AGENT_LOST ? wait
                                                           : CTL_AGENT_LOST);
}


static int
ctl_agent_wait(ctl_agent_t *agent)
{
    int                  rc;
    void                *data;
    ctl_block_t         *mark;
    ctl_oauth_answer_t  *answer;

    answer = ctl_oauth_wait(agent->oauth, CTL_AGENT_WISHES, agent->signals,
                            &data);

    ctl_agent_signal(agent);

    if (answer == NULL) {
        return CTL_DONE;
    }

    mark = ctl_pool_mark(agent->ctl);
    rc = ctl_attempt_end(agent, data, answer);
    ctl_oauth_answer_free(answer);

    if (rc == CTL_DONE) {
        ctl_pool_release(agent->ctl, mark);
    }

    return rc;
}


static void
ctl_agent_signal(ctl_agent_t *agent)
{
    struct signalfd_siginfo  info;

    if (read(agent->signals, &info, sizeof(info)) != sizeof(info)
        || agent->stopping)
    {
        return;
    }

    agent->stopping = 1;

    ctl_agent_log(agent, "stopping", NULL,
                  json_pack("{s:I}", "in_flight",
                            (json_int_t) ctl_oauth_calls(agent->oauth)));
}
