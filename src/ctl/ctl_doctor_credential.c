
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl doctor": credentials.
 */


#include <string.h>
#include <openssl/crypto.h>
#include "ctl_credential.h"
#include "ctl_doctor.h"


static void ctl_doctor_credential(ctl_doctor_t *doctor, const char *name);
static void ctl_patient_sealed(ctl_patient_t *patient);
static void ctl_patient_opens(ctl_patient_t *patient, const char *what,
    pinaud_domain_e domain, const char *kind, uint64_t version,
    const unsigned char *sealed, size_t len);
static void ctl_patient_state(ctl_patient_t *patient);
static void ctl_patient_access(ctl_patient_t *patient);
static void ctl_patient_refresh(ctl_patient_t *patient);
static const char *ctl_patient_left(const ctl_patient_t *patient,
    uint64_t expires);


void
ctl_doctor_credentials(ctl_doctor_t *doctor)
{
    int           rc;
    unsigned      i, n;
    const char   *heard, **names;

    ctl_doctor_listen(doctor);
    rc = ctl_members(doctor->ctl, PINAUD_KEY_CREDENTIALS, pinaud_is_name,
                     &names, &n);
    heard = ctl_doctor_heard(doctor);

    if (rc != CTL_DONE) {
        ctl_finding(doctor, "credentials", CTL_GRADE_PROBLEM, NULL,
                    "not looked at: %s", heard);
        return;
    }

    if (n == 0) {
        ctl_finding(doctor, "credentials", CTL_GRADE_WARNING,
                    "pinaudctl credential authorize NAME --client-id ID "
                    "--client-secret-file FILE", "there are none");
    }

    doctor->names = ctl_alloc(doctor->ctl, sizeof(char *) * (n + 1));

    for (i = 0; i < n; i++) {
        ctl_doctor_credential(doctor, names[i]);
    }
}


static void
ctl_doctor_credential(ctl_doctor_t *doctor, const char *name)
{
    int             rc;
    ctl_t          *ctl;
    const char     *heard;
    ctl_patient_t   patient;

    ctl = doctor->ctl;

    memset(&patient, 0, sizeof(ctl_patient_t));
    patient.doctor = doctor;
    patient.check = ctl_format(ctl, "credential %s", name);
    patient.sound = 1;

    ctl_doctor_listen(doctor);
    rc = ctl_credential_read(ctl, name, &patient.record);
    heard = ctl_doctor_heard(doctor);

    if (rc != CTL_DONE) {
        doctor->names[doctor->nnames++] = name;
        ctl_patient_ill(&patient, CTL_GRADE_PROBLEM, NULL, heard);
        return;
    }

    if (!patient.record.exists) {
        ctl_patient_ill(&patient, CTL_GRADE_WARNING,
                        ctl_patient_authorize(&patient),
                        "it is listed, and has no record");
        return;
    }

    doctor->names[doctor->nnames++] = name;

    ctl_doctor_listen(doctor);
    rc = ctl_secret_record_read(ctl, name, &patient.secret);
    heard = ctl_doctor_heard(doctor);

    patient.readable = (rc == CTL_DONE);

    if (!patient.readable) {
        ctl_patient_ill(&patient, CTL_GRADE_WARNING, NULL,
                        ctl_format(ctl, "its refresh token is not looked at: "
                                   "%s", heard));
    }

    ctl_patient_sealed(&patient);
    ctl_patient_state(&patient);
    ctl_patient_access(&patient);
    ctl_patient_refresh(&patient);
    ctl_patient_renewal(&patient);

    if (patient.sound) {
        ctl_finding(doctor, patient.check, CTL_GRADE_OK, NULL,
                    "version %llu, expires %s; refresh token %s",
                    (unsigned long long) patient.record.version,
                    ctl_patient_left(&patient, patient.record.expires),
                    ctl_patient_left(&patient,
                                     patient.secret.refresh_expires));
    }
}


static void
ctl_patient_sealed(ctl_patient_t *patient)
{
    const ctl_secret_t      *secret;
    const ctl_credential_t  *record;

    record = &patient->record;
    secret = &patient->secret;

    ctl_patient_opens(patient, "access token", PINAUD_DOMAIN_GATEWAY,
                      "access", record->version, record->token,
                      record->token_len);
    ctl_patient_opens(patient, "refresh token", PINAUD_DOMAIN_AGENT,
                      "refresh", secret->refresh_version,
                      secret->sealed_refresh, secret->sealed_refresh_len);
    ctl_patient_opens(patient, "client secret", PINAUD_DOMAIN_AGENT,
                      "client-secret", 0, secret->sealed_client,
                      secret->sealed_client_len);
}


static void
ctl_patient_opens(ctl_patient_t *patient, const char *what,
    pinaud_domain_e domain, const char *kind, uint64_t version,
    const unsigned char *sealed, size_t len)
{
    char                 *plain;
    ctl_t                *ctl;
    size_t                id_len, plain_len;
    const char           *by;
    pinaud_open_e         rc;
    const unsigned char  *id;

    ctl = patient->doctor->ctl;

    if (sealed == NULL || ctl->ring == NULL) {
        return;
    }

    rc = ctl_unseal(ctl, ctl->ring, domain, kind, patient->record.name,
                    version, sealed, len, &plain, &plain_len);

    id_len = pinaud_sealed_by(sealed, len, &id);
    by = ctl_printable(ctl, (const char *) id, id_len);

    switch (rc) {

    case PINAUD_OPENED:
        OPENSSL_cleanse(plain, plain_len);
        return;

    case PINAUD_SEAL_GATEWAY_KEY:
        return;

    case PINAUD_SEAL_UNKNOWN_KEY:
        ctl_patient_ill(patient, CTL_GRADE_PROBLEM,
                        ctl_format(ctl, "add key %s to the seal key file, or: "
                                   "%s", by, ctl_patient_authorize(patient)),
                        ctl_format(ctl, "its %s is sealed by key %s, which is "
                                   "not in the seal key file", what, by));
        return;

    default:
        ctl_patient_ill(patient, CTL_GRADE_PROBLEM,
                        ctl_patient_authorize(patient),
                        ctl_format(ctl, "its %s does not open: it is altered, "
                                   "of another record, or the key by its id "
                                   "is another one", what));
    }
}


static void
ctl_patient_state(ctl_patient_t *patient)
{
    ctl_t       *ctl;
    const char  *name, *reason;

    ctl = patient->doctor->ctl;
    name = patient->record.name;
    reason = patient->record.reason ? patient->record.reason : "not told";

    switch (patient->record.state) {

    case CTL_STATE_OK:
        return;

    case CTL_STATE_RETRYING:
        ctl_patient_ill(patient, CTL_GRADE_WARNING, NULL,
                        ctl_format(ctl, "refreshes fail and are tried again: "
                                   "%s", reason));
        return;

    case CTL_STATE_UNAUTHORIZED:
        ctl_patient_ill(patient, CTL_GRADE_PROBLEM,
                        ctl_patient_authorize(patient),
                        ctl_format(ctl, "it has to be authorised anew: %s",
                                   reason));
        return;

    case CTL_STATE_WRONG_CLIENT:
        ctl_patient_ill(patient, CTL_GRADE_PROBLEM,
                        ctl_format(ctl, "pinaudctl credential put %s "
                                   "--client-id ID --client-secret-file FILE",
                                   name),
                        ctl_format(ctl, "its app's id or secret is refused: "
                                   "%s", reason));
    }
}


/* An agent renews it in time, where there is one and it can. */

static void
ctl_patient_access(ctl_patient_t *patient)
{
    ctl_t                   *ctl;
    uint64_t                 now;
    const ctl_credential_t  *record;

    ctl = patient->doctor->ctl;
    now = patient->doctor->now;
    record = &patient->record;

    if (record->token == NULL) {
        ctl_patient_ill(patient, CTL_GRADE_PROBLEM,
                        ctl_patient_authorize(patient), "it has no access "
                        "token");
        return;
    }

    if (record->expires == 0) {
        return;
    }

    if (record->expires <= now) {
        ctl_patient_ill(patient, CTL_GRADE_PROBLEM, patient->secret.refresh
                        ? "see whether pinaudctl agent runs, and its log"
                        : ctl_patient_authorize(patient),
                        ctl_format(ctl, "its access token expired %s",
                                   ctl_patient_left(patient,
                                                    record->expires)));

    } else if (patient->readable && !patient->secret.refresh
               && record->expires < now + CTL_DOCTOR_SOON)
    {
        ctl_patient_ill(patient, CTL_GRADE_WARNING,
                        ctl_patient_authorize(patient),
                        ctl_format(ctl, "its access token expires %s, and "
                                   "there is no refresh token",
                                   ctl_patient_left(patient,
                                                    record->expires)));
    }
}


static void
ctl_patient_refresh(ctl_patient_t *patient)
{
    ctl_t               *ctl;
    uint64_t             now;
    const ctl_secret_t  *secret;

    ctl = patient->doctor->ctl;
    now = patient->doctor->now;
    secret = &patient->secret;

    if (!secret->refresh) {
        return;
    }

    if (secret->client_id == NULL || !secret->client_secret) {
        ctl_patient_ill(patient, CTL_GRADE_PROBLEM,
                        ctl_format(ctl, "pinaudctl credential put %s "
                                   "--client-id ID --client-secret-file FILE",
                                   patient->record.name),
                        "it has a refresh token, and no app to use it");
    }

    if (secret->refresh_expires != 0 && secret->refresh_expires <= now) {
        ctl_patient_ill(patient, CTL_GRADE_PROBLEM,
                        ctl_patient_authorize(patient),
                        ctl_format(ctl, "its refresh token expired %s",
                                   ctl_patient_left(patient,
                                       secret->refresh_expires)));

    } else if (secret->refresh_expires != 0
               && secret->refresh_expires < now + CTL_DOCTOR_SOON)
    {
        ctl_patient_ill(patient, CTL_GRADE_WARNING,
                        ctl_format(ctl, "see whether pinaudctl agent runs, "
                                   "or: %s", ctl_patient_authorize(patient)),
                        ctl_format(ctl, "its refresh token expires %s",
                                   ctl_patient_left(patient,
                                       secret->refresh_expires)));
    }
}


void
ctl_patient_ill(ctl_patient_t *patient, ctl_grade_e grade, const char *cure,
    const char *found)
{
    patient->sound = 0;
    ctl_finding(patient->doctor, patient->check, grade, cure, "%s", found);
}


const char *
ctl_patient_authorize(const ctl_patient_t *patient)
{
    return ctl_authorize_command(patient->doctor->ctl, patient->record.name,
                                 &patient->secret);
}


/* "in 3d 4h", "3d 4h ago" */

static const char *
ctl_patient_left(const ctl_patient_t *patient, uint64_t expires)
{
    ctl_t     *ctl;
    uint64_t   now;

    ctl = patient->doctor->ctl;
    now = patient->doctor->now;

    if (expires == 0) {
        return "not known";
    }

    return expires > now
           ? ctl_format(ctl, "in %s", ctl_span(ctl, (expires - now) * 1000))
           : ctl_format(ctl, "%s ago", ctl_span(ctl, (now - expires) * 1000));
}
