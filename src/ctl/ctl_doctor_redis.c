
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl doctor": the server.
 */


#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "ctl_doctor.h"
#include "ctl_store.h"
#include "pinaud_scripts.h"
#include "pinaud_slot.h"


#define CTL_DOCTOR_MAJOR   6           /* Redis 6.2 */
#define CTL_DOCTOR_MINOR   2
#define CTL_DOCTOR_CLOCK   2000        /* ms between clocks */
#define CTL_DOCTOR_NOBODY  "doctor"    /* keys of this name are not there */


static void ctl_doctor_cluster(ctl_doctor_t *doctor);
static void ctl_doctor_master(ctl_doctor_t *doctor,
    const pinaud_url_t *url);
static void ctl_doctor_node(ctl_doctor_t *doctor);
static const char *ctl_doctor_of(ctl_doctor_t *doctor, const char *check);
static void ctl_doctor_version(ctl_doctor_t *doctor);
static void ctl_doctor_role(ctl_doctor_t *doctor);
static void ctl_doctor_persistence(ctl_doctor_t *doctor);
static void ctl_doctor_fsync(ctl_doctor_t *doctor, const char *check);
static void ctl_doctor_memory(ctl_doctor_t *doctor);
static void ctl_doctor_scripts(ctl_doctor_t *doctor);
static void ctl_doctor_clock(ctl_doctor_t *doctor);
static const char *ctl_doctor_info(ctl_doctor_t *doctor, const char *name);
static uint64_t ctl_doctor_info_number(ctl_doctor_t *doctor,
    const char *name);
static const char *ctl_doctor_config(ctl_doctor_t *doctor, const char *name,
    const char **why);
static int64_t ctl_doctor_time(void);


void
ctl_doctor_server(ctl_doctor_t *doctor)
{
    ctl_store_t  *store;

    store = doctor->ctl->store;

    if (ctl_store_clustered(store)) {
        ctl_doctor_cluster(doctor);

    } else {
        doctor->link = store->link;
        doctor->node = "";
        ctl_doctor_node(doctor);
    }

    ctl_doctor_scripts(doctor);
    ctl_doctor_clock(doctor);
}


/* Each master by a connection of its own. */

static void
ctl_doctor_cluster(ctl_doctor_t *doctor)
{
    ctl_t         *ctl;
    unsigned       i, n, nobody;
    ctl_node_t    *node;
    ctl_store_t   *store;

    ctl = doctor->ctl;
    store = ctl->store;
    n = 0;
    nobody = 0;

    for (node = store->nodes; node; node = node->next) {

        for (i = 0; i < PINAUD_SLOTS && store->slots[i] != node; i++) {
            /* void */
        }

        if (i < PINAUD_SLOTS) {
            ctl_doctor_master(doctor, &node->link.url);
            n++;
        }
    }

    for (i = 0; i < PINAUD_SLOTS; i++) {
        nobody += (store->slots[i] == NULL);
    }

    if (nobody) {
        ctl_finding(doctor, "redis cluster", CTL_GRADE_PROBLEM,
                    "redis-cli --cluster check, and fix",
                    "%u of %d slots have no master: what is there can't be "
                    "used", nobody, PINAUD_SLOTS);
        return;
    }

    ctl_finding(doctor, "redis cluster", CTL_GRADE_OK, NULL,
                "%u masters, all slots have one", n);
}


static void
ctl_doctor_master(ctl_doctor_t *doctor, const pinaud_url_t *url)
{
    ctl_t       *ctl;
    ctl_link_t   link;
    const char  *why;

    ctl = doctor->ctl;
    doctor->node = ctl_format(ctl, " %s:%u", url->host, url->port);

    if (ctl_store_connect(ctl, &link, url, &ctl->store->password, &why) == 0) {
        doctor->link = &link;
        ctl_doctor_node(doctor);

    } else {
        ctl_finding(doctor, ctl_doctor_of(doctor, "redis"),
                    CTL_GRADE_PROBLEM, "see whether it runs", "%s", why);
    }

    doctor->link = NULL;
    ctl_link_close(&link);
}


/* INFO tells most of it. */

static void
ctl_doctor_node(ctl_doctor_t *doctor)
{
    ctl_t       *ctl;
    redisReply  *reply;
    const char  *why;

    ctl = doctor->ctl;
    reply = ctl_store_talk(ctl, doctor->link, ctl_words(ctl, "INFO", NULL),
                           REDIS_REPLY_STRING, &why);

    if (reply == NULL) {
        ctl_finding(doctor, ctl_doctor_of(doctor, "redis server"),
                    CTL_GRADE_WARNING, "let this user have INFO and CONFIG "
                    "GET: conf/redis-acl.conf", "its version, role, "
                    "persistence and memory are not looked at: %s", why);
        return;
    }

    doctor->info = reply->str;

    ctl_doctor_version(doctor);
    ctl_doctor_role(doctor);
    ctl_doctor_persistence(doctor);
    ctl_doctor_memory(doctor);
}


/* A check's name, in a cluster with the node's. */

static const char *
ctl_doctor_of(ctl_doctor_t *doctor, const char *check)
{
    return ctl_format(doctor->ctl, "%s%s", check, doctor->node);
}


static void
ctl_doctor_version(ctl_doctor_t *doctor)
{
    char           *end;
    const char     *check, *version;
    unsigned long   major, minor;

    check = ctl_doctor_of(doctor, "redis version");
    version = ctl_doctor_info(doctor, "redis_version");

    major = strtoul(version, &end, 10);
    minor = (*end == '.') ? strtoul(end + 1, NULL, 10) : 0;

    if (major < CTL_DOCTOR_MAJOR
        || (major == CTL_DOCTOR_MAJOR && minor < CTL_DOCTOR_MINOR))
    {
        ctl_finding(doctor, check, CTL_GRADE_PROBLEM,
                    "Redis 7 is what this was tested with",
                    "%s, and at least %d.%d is needed",
                    *version ? version : "not known", CTL_DOCTOR_MAJOR,
                    CTL_DOCTOR_MINOR);
        return;
    }

    ctl_finding(doctor, check, CTL_GRADE_OK, NULL, "%s", version);
}


/* A failover forgets what the replica had not got yet. */

static void
ctl_doctor_role(ctl_doctor_t *doctor)
{
    uint64_t     replicas;
    const char  *check, *role;

    check = ctl_doctor_of(doctor, "redis role");
    role = ctl_doctor_info(doctor, "role");
    replicas = ctl_doctor_info_number(doctor, "connected_slaves");

    if (strcmp(role, "master") != 0) {
        ctl_finding(doctor, check, CTL_GRADE_PROBLEM,
                    "--redis with the master's URL, or with mode=sentinel",
                    "it is a replica: nothing can be written");

    } else if (replicas == 0) {
        ctl_finding(doctor, check, CTL_GRADE_OK, NULL,
                    "master, without replicas");

    } else if (*ctl_doctor_info(doctor, "min_slaves_good_slaves") == '\0') {
        ctl_finding(doctor, check, CTL_GRADE_WARNING,
                    "min-replicas-to-write 1 in redis.conf",
                    "master with %llu replica%s, and goes on writing when it "
                    "has lost them: a failover forgets counts, and tokens",
                    (unsigned long long) replicas, replicas == 1 ? "" : "s");

    } else {
        ctl_finding(doctor, check, CTL_GRADE_OK, NULL,
                    "master with %llu replica%s",
                    (unsigned long long) replicas, replicas == 1 ? "" : "s");
    }
}


static void
ctl_doctor_persistence(ctl_doctor_t *doctor)
{
    const char  *check;

    check = ctl_doctor_of(doctor, "redis persistence");

    if (ctl_doctor_info_number(doctor, "aof_enabled") == 0) {
        ctl_finding(doctor, check, CTL_GRADE_PROBLEM,
                    "appendonly yes in redis.conf, and CONFIG SET appendonly "
                    "yes now", "without an append-only file a crash loses "
                    "tokens that Pinterest gives only once, and counts");

    } else if (strcmp(ctl_doctor_info(doctor, "aof_last_write_status"), "ok")
               != 0)
    {
        ctl_finding(doctor, check, CTL_GRADE_PROBLEM,
                    "see to Redis's disk", "it can't write its append-only "
                    "file");

    } else {
        ctl_doctor_fsync(doctor, check);
    }
}


static void
ctl_doctor_fsync(ctl_doctor_t *doctor, const char *check)
{
    const char  *value, *why;

    value = ctl_doctor_config(doctor, "appendfsync", &why);

    if (value == NULL) {
        ctl_finding(doctor, check, CTL_GRADE_WARNING,
                    "let this user have CONFIG GET: conf/redis-acl.conf",
                    "append-only file; whether it is flushed is not looked "
                    "at: %s", why);

    } else if (strcmp(value, "no") == 0) {
        ctl_finding(doctor, check, CTL_GRADE_PROBLEM,
                    "appendfsync everysec in redis.conf",
                    "append-only file with appendfsync no: a crash of the "
                    "host loses tokens that Pinterest gives only once");

    } else {
        ctl_finding(doctor, check, CTL_GRADE_OK, NULL,
                    "append-only file, appendfsync %s", value);
    }
}


static void
ctl_doctor_memory(ctl_doctor_t *doctor)
{
    uint64_t     max, used;
    const char  *check, *policy;

    check = ctl_doctor_of(doctor, "redis memory");
    max = ctl_doctor_info_number(doctor, "maxmemory");
    used = ctl_doctor_info_number(doctor, "used_memory");
    policy = ctl_doctor_info(doctor, "maxmemory_policy");

    if (strcmp(policy, "noeviction") != 0) {
        ctl_finding(doctor, check, CTL_GRADE_PROBLEM,
                    "maxmemory-policy noeviction in redis.conf, and CONFIG "
                    "SET it now", "maxmemory-policy %s throws away counts, "
                    "or credentials, when memory runs out", policy);

    } else if (max != 0 && used / 9 > max / 10) {
        ctl_finding(doctor, check, CTL_GRADE_WARNING,
                    "raise maxmemory", "%llu of %llu MB are used: when it is "
                    "full, creates are refused",
                    (unsigned long long) used / 1048576,
                    (unsigned long long) max / 1048576);

    } else {
        ctl_finding(doctor, check, CTL_GRADE_OK, NULL,
                    "%llu MB used, %s, noeviction",
                    (unsigned long long) used / 1048576,
                    max ? ctl_format(doctor->ctl, "of %llu MB",
                                     (unsigned long long) max / 1048576)
                        : "no limit");
    }
}


/* One that changes nothing, on a bucket that nobody has. */

static void
ctl_doctor_scripts(ctl_doctor_t *doctor)
{
    ctl_t       *ctl;
    redisReply  *reply;
    const char  *heard;

    ctl = doctor->ctl;

    ctl_doctor_listen(doctor);
    reply = ctl_ask(ctl, ctl_words(ctl, "EVAL", pinaud_script_usage, "1",
                                   ctl_key(ctl, pinaud_key_writes,
                                           CTL_DOCTOR_NOBODY),
                                   "1/60", NULL),
                    REDIS_REPLY_ARRAY);
    heard = ctl_doctor_heard(doctor);

    if (reply == NULL) {
        ctl_finding(doctor, "redis scripts", CTL_GRADE_PROBLEM,
                    "let this user have EVAL and EVALSHA: "
                    "conf/redis-acl.conf", "they don't run: %s", heard);
        return;
    }

    ctl_finding(doctor, "redis scripts", CTL_GRADE_OK, NULL, "they run");
}


/* Quotas go by Redis's clock alone, but clock minutes are Pinterest's. */

static void
ctl_doctor_clock(ctl_doctor_t *doctor)
{
    int          rc;
    int64_t      after, apart, before;
    uint64_t     now;

    before = ctl_doctor_time();

    ctl_doctor_listen(doctor);
    rc = ctl_store_time_ms(doctor->ctl, &now);
    (void) ctl_doctor_heard(doctor);

    after = ctl_doctor_time();

    if (rc != CTL_DONE) {
        return;
    }

    doctor->now = now / 1000;

    /* Redis looked at its clock at some moment in between */

    apart = 0;

    if ((int64_t) now < before) {
        apart = before - (int64_t) now;

    } else if ((int64_t) now > after) {
        apart = (int64_t) now - after;
    }

    if (apart > CTL_DOCTOR_CLOCK) {
        ctl_finding(doctor, "clock", CTL_GRADE_WARNING,
                    "set both by NTP", "Redis's clock and this host's are %s "
                    "apart: cooldowns end at the clock's minute, tokens "
                    "expire by Redis's clock",
                    ctl_span(doctor->ctl, (uint64_t) apart));
        return;
    }

    ctl_finding(doctor, "clock", CTL_GRADE_OK, NULL,
                "as this host's, %lld ms apart at least", (long long) apart);
}


/* "" where it is not told. */

static const char *
ctl_doctor_info(ctl_doctor_t *doctor, const char *name)
{
    size_t       len;
    const char  *line;

    len = strlen(name);

    for (line = doctor->info; line; line = strchr(line, '\n')) {
        line += (*line == '\n');

        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1;

            return ctl_printable(doctor->ctl, line, strcspn(line, "\r\n"));
        }
    }

    return "";
}


static uint64_t
ctl_doctor_info_number(ctl_doctor_t *doctor, const char *name)
{
    return strtoull(ctl_doctor_info(doctor, name), NULL, 10);
}


static const char *
ctl_doctor_config(ctl_doctor_t *doctor, const char *name, const char **why)
{
    ctl_t       *ctl;
    redisReply  *reply;

    ctl = doctor->ctl;
    reply = ctl_store_talk(ctl, doctor->link,
                           ctl_words(ctl, "CONFIG", "GET", name, NULL),
                           REDIS_REPLY_ARRAY, why);

    if (reply == NULL) {
        return NULL;
    }

    if (reply->elements != 2 || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        *why = "it does not tell";
        return NULL;
    }

    return ctl_printable(ctl, reply->element[1]->str,
                         (size_t) reply->element[1]->len);
}


static int64_t
ctl_doctor_time(void)
{
    struct timespec  now;

    (void) clock_gettime(CLOCK_REALTIME, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
