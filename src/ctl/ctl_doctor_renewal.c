
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl doctor": whether tokens are renewed by somebody.
 */


#include <string.h>
#include <time.h>
#include "ctl_agent_due.h"
#include "ctl_doctor.h"


#define CTL_DOCTOR_STANDS  600000      /* ms that an attempt may take */
#define CTL_DOCTOR_LATE    3600        /* seconds after a token is due */
#define CTL_DOCTOR_WISHES  2           /* seconds to wait for an agent */


static void ctl_renewal_attempt(ctl_patient_t *patient);
static void ctl_renewal_late(ctl_patient_t *patient);
static redisReply *ctl_doctor_wanted(ctl_doctor_t *doctor);
static int ctl_doctor_waits(ctl_doctor_t *doctor, const char *name,
    const char *wish);
static const char *ctl_doctor_wish(const redisReply *wanted,
    const char *name);


void
ctl_patient_renewal(ctl_patient_t *patient)
{
    if (patient->secret.attempt != NULL) {
        ctl_renewal_attempt(patient);
        return;
    }

    if (patient->secret.refresh && patient->secret.client_id != NULL
        && patient->secret.client_secret && patient->record.token != NULL
        && patient->record.state == CTL_STATE_OK)
    {
        ctl_renewal_late(patient);
    }
}


static void
ctl_renewal_attempt(ctl_patient_t *patient)
{
    ctl_t          *ctl;
    ctl_attempt_t   attempt;

    ctl = patient->doctor->ctl;
    patient->doctor->attempts++;

    if (ctl_attempt_read(patient->secret.attempt, &attempt) != 0) {
        ctl_patient_ill(patient, CTL_GRADE_PROBLEM,
                        ctl_patient_authorize(patient),
                        "an attempt to refresh it stands that can't be read, "
                        "and nobody refreshes it");

    } else if (patient->doctor->now * 1000
               > attempt.at + CTL_DOCTOR_STANDS)
    {
        ctl_patient_ill(patient, CTL_GRADE_WARNING,
                        ctl_format(ctl, "start pinaudctl agent on %s; only if "
                                   "that host and its journal are gone for "
                                   "good: pinaudctl credential refresh %s "
                                   "--force", attempt.host,
                                   patient->record.name),
                        ctl_format(ctl, "an attempt of host %s to refresh it "
                                   "stands since %s, and nobody else does",
                                   attempt.host,
                                   ctl_time(ctl, attempt.at / 1000)));
    }
}


/* It would have been refreshed by any agent. */

static void
ctl_renewal_late(ctl_patient_t *patient)
{
    uint64_t     at, now;
    ctl_case_t   due;

    now = patient->doctor->now;

    if (patient->record.expires != 0 && patient->record.expires <= now) {
        return;
    }

    memset(&due, 0, sizeof(ctl_case_t));
    due.expires = patient->record.expires;
    due.refreshed = patient->secret.refreshed;
    due.refresh_expires = patient->secret.refresh_expires;
    due.spread = ctl_spread(patient->record.name);

    at = ctl_due_at(&due);

    if (at != 0 && at + CTL_DOCTOR_LATE < now) {
        ctl_patient_ill(patient, CTL_GRADE_WARNING,
                        "see whether pinaudctl agent runs, and its log",
                        ctl_format(patient->doctor->ctl, "it has been due to "
                                   "be refreshed since %s, and nobody did",
                                   ctl_time(patient->doctor->ctl, at)));
    }
}


/* A wish that an agent can see to is gone within a moment. */

void
ctl_doctor_wishes(ctl_doctor_t *doctor)
{
    size_t            i;
    ctl_t            *ctl;
    unsigned          n;
    const char       *name, *wish, **names;
    redisReply       *before, *wanted;
    struct timespec   pause;

    ctl = doctor->ctl;
    before = ctl_doctor_wanted(doctor);

    if (before == NULL) {
        return;
    }

    wanted = before;

    if (before->elements) {
        pause.tv_sec = CTL_DOCTOR_WISHES;
        pause.tv_nsec = 0;
        (void) nanosleep(&pause, NULL);

        wanted = ctl_doctor_wanted(doctor);
    }

    if (wanted == NULL) {
        return;
    }

    n = 0;
    names = ctl_alloc(ctl, sizeof(char *) * (wanted->elements + 1));

    for (i = 0; i + 1 < wanted->elements; i += 2) {
        name = wanted->element[i]->str;
        wish = ctl_doctor_wish(before, name);

        if (wish != NULL && strcmp(wish, wanted->element[i + 1]->str) == 0
            && ctl_doctor_waits(doctor, name, wish))
        {
            names[n++] = name;
        }
    }

    if (n) {
        ctl_finding(doctor, "agents", CTL_GRADE_PROBLEM, "see whether "
                    "pinaudctl agent runs, and its log", "newer tokens are "
                    "wanted, and no agent answers: %s",
                    ctl_some(ctl, names, n));
        return;
    }

    ctl_finding(doctor, "agents", CTL_GRADE_OK, NULL,
                "nobody waits for a newer token");
}


/* Names and wishes by turns, or NULL after a failure was told. */

static redisReply *
ctl_doctor_wanted(ctl_doctor_t *doctor)
{
    ctl_t       *ctl;
    size_t       i;
    redisReply  *reply;
    const char  *heard;

    ctl = doctor->ctl;

    ctl_doctor_listen(doctor);
    reply = ctl_ask(ctl, ctl_words(ctl, "HGETALL", PINAUD_KEY_WANTED, NULL),
                    REDIS_REPLY_ARRAY);
    heard = ctl_doctor_heard(doctor);

    if (reply == NULL) {
        ctl_finding(doctor, "agents", CTL_GRADE_WARNING, NULL,
                    "whether they answer is not looked at: %s", heard);
        return NULL;
    }

    for (i = 0; i < reply->elements; i++) {

        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            ctl_finding(doctor, "agents", CTL_GRADE_WARNING, NULL,
                        "whether they answer is not looked at: Redis at %s "
                        "does not tell what %s holds", ctl->redis_name,
                        PINAUD_KEY_WANTED);
            return NULL;
        }
    }

    return reply;
}


/* Where refreshes fail or an attempt stands, that is told of the credential. */

static int
ctl_doctor_waits(ctl_doctor_t *doctor, const char *name, const char *wish)
{
    int                rc;
    ctl_t             *ctl;
    uint64_t           version;
    ctl_secret_t       secret;
    ctl_credential_t   record;

    ctl = doctor->ctl;

    if (ctl_wish_read(wish, &version) == CTL_WISH_NONE
        || !pinaud_is_name((const unsigned char *) name, strlen(name)))
    {
        return 0;
    }

    ctl_doctor_listen(doctor);
    rc = ctl_credential_read(ctl, name, &record);

    if (rc == CTL_DONE) {
        rc = ctl_secret_record_read(ctl, name, &secret);
    }

    (void) ctl_doctor_heard(doctor);

    return rc == CTL_DONE && record.exists && record.version <= version
           && record.state == CTL_STATE_OK && secret.refresh
           && secret.attempt == NULL;
}


static const char *
ctl_doctor_wish(const redisReply *wanted, const char *name)
{
    size_t  i;

    for (i = 0; i + 1 < wanted->elements; i += 2) {
        if (strcmp(wanted->element[i]->str, name) == 0) {
            return wanted->element[i + 1]->str;
        }
    }

    return NULL;
}
