
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The agent's log: one JSON line an event, to stderr.
 */


#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "ctl_agent.h"


static ssize_t ctl_agent_log_take(void *data, const char *text, size_t len);


int
ctl_agent_log_open(ctl_agent_t *agent)
{
    int                         fd;
    FILE                       *stream;
    cookie_io_functions_t       take;

    memset(&take, 0, sizeof(cookie_io_functions_t));
    take.write = ctl_agent_log_take;

    fd = dup(STDERR_FILENO);
    agent->log = (fd == -1) ? NULL : fdopen(fd, "w");
    stream = agent->log ? fopencookie(agent, "w", take) : NULL;

    if (stream == NULL) {
        return ctl_fail(CTL_REFUSED, "out of memory");
    }

    setvbuf(stream, NULL, _IOLBF, 0);
    stderr = stream;

    return CTL_DONE;
}


void
ctl_agent_log_close(ctl_agent_t *agent)
{
    fclose(stderr);
    stderr = agent->log;
    agent->log = NULL;
}


/* Lines as ctl_fail() makes them; the last one counts. */

static ssize_t
ctl_agent_log_take(void *data, const char *text, size_t len)
{
    size_t        n;
    ctl_agent_t  *agent;

    agent = data;
    n = len;

    while (n > 0 && text[n - 1] == '\n') {
        n--;
    }

    if (n >= sizeof("pinaudctl: ") - 1
        && memcmp(text, "pinaudctl: ", sizeof("pinaudctl: ") - 1) == 0)
    {
        text += sizeof("pinaudctl: ") - 1;
        n -= sizeof("pinaudctl: ") - 1;
    }

    if (n > 0) {
        if (n >= sizeof(agent->message)) {
            n = sizeof(agent->message) - 1;
        }

        memcpy(agent->message, text, n);
        agent->message[n] = '\0';
    }

    return (ssize_t) len;
}


void
ctl_agent_log(ctl_agent_t *agent, const char *event, const char *credential,
    json_t *fields)
{
    char             time[32];
    char            *text;
    size_t           len;
    json_t          *line;
    struct tm        tm;
    struct timespec  now;

    (void) clock_gettime(CLOCK_REALTIME, &now);

    len = 0;

    if (gmtime_r(&now.tv_sec, &tm) != NULL) {
        len = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &tm);
    }

    snprintf(time + len, sizeof(time) - len, ".%03uZ",
             (unsigned) (now.tv_nsec / 1000000));

    line = json_pack("{s:s, s:s}", "time", time, "event", event);

    if (credential != NULL) {
        json_object_set_new(line, "credential", json_string(credential));
    }

    if (fields != NULL) {
        json_object_update(line, fields);
        json_decref(fields);
    }

    /* in one piece, however many write to the same pipe */

    text = json_dumps(line, JSON_COMPACT);

    if (text != NULL) {
        fprintf(agent->log, "%s\n", text);
        fflush(agent->log);
        free(text);
    }

    json_decref(line);
}
