
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl agent": keeps tokens fresh.
 */


#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/signalfd.h>
#include "ctl_agent.h"


#define CTL_AGENT_JOURNAL   "/var/lib/pinaud"
#define CTL_AGENT_TAKEOVER  600000     /* ms */


static int ctl_agent(ctl_t *ctl);
static int ctl_agent_open(ctl_agent_t *agent);
static int ctl_agent_takeover(ctl_agent_t *agent);
static int ctl_agent_journal(ctl_agent_t *agent);
static int ctl_agent_signals(ctl_agent_t *agent);
static void ctl_agent_host(ctl_agent_t *agent);
static void ctl_agent_close(ctl_agent_t *agent);


static const ctl_option_t  ctl_agent_table[] = {

    { .name = "once", .help = "refresh what is due, and end" },

    { .name = "journal", .arg = "DIR",
      .help = "$STATE_DIRECTORY, or " CTL_AGENT_JOURNAL },

    { .name = "takeover", .arg = "T",
      .help = "age at which another agent is taken over; 10m" },

    CTL_OAUTH_OPTIONS,

    { .name = NULL }
};


const ctl_command_t  ctl_agent_commands[] = {

    { .noun = "agent", .args = "", .options = ctl_agent_table,
      .handler = ctl_agent,
      .summary = "Keep tokens fresh, as a service",
      .details =
"Refreshes each credential that has a refresh token, after 80 to 90 % of the\n"
"token's lifetime, and at once where a gateway asks. Any number may run, each\n"
"with a journal of its own: a folder that outlives restarts. The log goes to\n"
"stderr, a JSON line an event; \"alarm\" is true where a person is needed." },

    { .noun = NULL }
};


static int
ctl_agent(ctl_t *ctl)
{
    int          rc;
    ctl_agent_t  agent;

    memset(&agent, 0, sizeof(ctl_agent_t));
    agent.ctl = ctl;
    agent.signals = -1;
    agent.once = (ctl_given(ctl, "once") != NULL);

    rc = ctl_agent_open(&agent);

    if (rc == CTL_DONE) {
        rc = ctl_agent_log_open(&agent);
    }

    if (rc == CTL_DONE) {
        ctl_agent_log(&agent, "started", NULL,
                      json_pack("{s:s, s:s}", "host", agent.host, "journal",
                                ctl_journal_id(agent.journal)));

        rc = ctl_agent_run(&agent);

        ctl_agent_log(&agent, "stopped", NULL, NULL);
        ctl_agent_log_close(&agent);
    }

    ctl_agent_close(&agent);

    return rc;
}


static int
ctl_agent_open(ctl_agent_t *agent)
{
    int  rc;

    ctl_agent_host(agent);

    rc = ctl_keyring_master(agent->ctl, &agent->ring);

    /* what no waiting mends is told before anything is begun */

    if (rc == CTL_DONE) {
        rc = ctl_store_check(agent->ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_oauth_open(agent->ctl, &agent->oauth);
    }

    if (rc == CTL_DONE) {
        rc = ctl_agent_takeover(agent);
    }

    if (rc == CTL_DONE) {
        rc = ctl_agent_signals(agent);
    }

    return (rc == CTL_DONE) ? ctl_agent_journal(agent) : rc;
}


static int
ctl_agent_takeover(ctl_agent_t *agent)
{
    int          rc;
    const char  *text;

    agent->takeover = CTL_AGENT_TAKEOVER;
    text = ctl_given(agent->ctl, "takeover");
    rc = text ? ctl_duration("takeover", text, &agent->takeover) : CTL_DONE;

    /* its owner may still have the call in flight */

    if (rc == CTL_DONE
        && ctl_oauth_within(agent->ctl, agent->oauth, agent->takeover / 2)
           != 0)
    {
        return ctl_fail(CTL_USAGE, "--takeover has to be four times as long "
                        "as --timeout at least");
    }

    return rc;
}


static int
ctl_agent_journal(ctl_agent_t *agent)
{
    char         error[CTL_JOURNAL_ERROR];
    const char  *dir;

    dir = ctl_given(agent->ctl, "journal");

    if (dir == NULL) {
        dir = getenv("STATE_DIRECTORY");
    }

    if (dir == NULL || *dir == '\0') {
        dir = CTL_AGENT_JOURNAL;
    }

    if (ctl_journal_open(&agent->journal, dir, agent->ring, error) != 0) {
        return ctl_fail(CTL_REFUSED, "journal %s", error);
    }

    return CTL_DONE;
}


/*
 * All that are sent to end a process: a terminal that is closed would else cost
 * the answer to a call, unless somebody has it ignored.
 */

static int
ctl_agent_signals(ctl_agent_t *agent)
{
    unsigned          i;
    sigset_t          set;
    struct sigaction  was;

    static const int  signals[] = { SIGHUP, SIGQUIT };

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (sigaction(signals[i], NULL, &was) == 0
            && was.sa_handler != SIG_IGN)
        {
            sigaddset(&set, signals[i]);
        }
    }

    if (sigprocmask(SIG_BLOCK, &set, NULL) == 0) {
        agent->signals = signalfd(-1, &set, SFD_CLOEXEC|SFD_NONBLOCK);
    }

    return agent->signals != -1 ? CTL_DONE
                                : ctl_fail(CTL_REFUSED, "signals: %s",
                                           strerror(errno));
}


static void
ctl_agent_host(ctl_agent_t *agent)
{
    char  *p;

    if (gethostname(agent->host, sizeof(agent->host)) != 0) {
        agent->host[0] = '\0';
    }

    agent->host[sizeof(agent->host) - 1] = '\0';

    for (p = agent->host; *p; p++) {
        if (!pinaud_is_name((unsigned char *) p, 1) || *p == '@') {
            *p = '-';
        }
    }

    if (agent->host[0] == '\0') {
        memcpy(agent->host, "unnamed", sizeof("unnamed"));
    }
}


static void
ctl_agent_close(ctl_agent_t *agent)
{
    unsigned  i;

    for (i = 0; i < agent->n; i++) {
        ctl_wipe_free(agent->all[i]->room);
        free(agent->all[i]);
    }

    free(agent->all);

    if (agent->oauth != NULL) {
        ctl_oauth_close(agent->oauth);
    }

    if (agent->signals != -1) {
        close(agent->signals);
    }

    ctl_journal_close(agent->journal);
    pinaud_keyring_free(agent->ring);
}


ctl_agent_credential_t *
ctl_agent_find(ctl_agent_t *agent, const char *name, int make)
{
    unsigned                  i;
    ctl_agent_credential_t   *one, **more;

    for (i = 0; i < agent->n; i++) {
        if (strcmp(agent->all[i]->name, name) == 0) {
            return agent->all[i];
        }
    }

    if (!make) {
        return NULL;
    }

    if (agent->n == agent->room) {
        agent->room = agent->room ? agent->room * 2 : 64;
        more = realloc(agent->all,
                       agent->room * sizeof(ctl_agent_credential_t *));

        if (more == NULL) {
            exit(ctl_fail(CTL_REFUSED, "out of memory"));
        }

        agent->all = more;
    }

    one = calloc(1, sizeof(ctl_agent_credential_t));

    if (one == NULL) {
        exit(ctl_fail(CTL_REFUSED, "out of memory"));
    }

    memcpy(one->name, name, strlen(name));
    agent->all[agent->n++] = one;

    return one;
}
