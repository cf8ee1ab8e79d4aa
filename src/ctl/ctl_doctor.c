
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl doctor": looks at everything, and tells how to mend it.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl_doctor.h"


static int ctl_doctor(ctl_t *ctl);
static void ctl_doctor_keys(ctl_doctor_t *doctor);
static void ctl_doctor_store(ctl_doctor_t *doctor);
static void ctl_doctor_print(const ctl_doctor_t *doctor);
static void ctl_doctor_print_json(const ctl_doctor_t *doctor);


static const char  *const ctl_grades[] = { "ok", "warning", "problem" };


const ctl_command_t  ctl_doctor_commands[] = {

    { .noun = "doctor", .args = "", .handler = ctl_doctor,
      .summary = "Look for what is wrong, and how to mend it",
      .details =
"Looks at Redis, what this user may do there, the seal key file, and all\n"
"credentials and accounts. Changes nothing. What this user may not look at is\n"
"told. Exit code 1: there is a problem; warnings alone are 0." },

    { .noun = NULL }
};


static int
ctl_doctor(ctl_t *ctl)
{
    ctl_doctor_t  doctor;

    memset(&doctor, 0, sizeof(ctl_doctor_t));
    doctor.ctl = ctl;
    doctor.last = &doctor.first;

    ctl_doctor_keys(&doctor);
    ctl_doctor_store(&doctor);

    if (doctor.open) {
        ctl_doctor_server(&doctor);
        ctl_doctor_user(&doctor);
        ctl_doctor_credentials(&doctor);
        ctl_doctor_wishes(&doctor);
        ctl_doctor_policy(&doctor);
        ctl_doctor_team_keys(&doctor);
        ctl_doctor_seal_keys(&doctor);
    }

    if (ctl->json) {
        ctl_doctor_print_json(&doctor);

    } else {
        ctl_doctor_print(&doctor);
    }

    return doctor.grades[CTL_GRADE_PROBLEM] ? CTL_REFUSED : CTL_DONE;
}


static void
ctl_doctor_keys(ctl_doctor_t *doctor)
{
    int          rc;
    size_t       len;
    ctl_t       *ctl;
    const char  *heard, *id;

    ctl = doctor->ctl;

    if (ctl_setting(ctl, "seal-key-file") == NULL) {
        ctl_finding(doctor, "seal key file", CTL_GRADE_WARNING,
                    "--seal-key-file FILE, or PINAUD_SEAL_KEY_FILE", "it was "
                    "not told: what is sealed is not looked at");
        return;
    }

    ctl_doctor_listen(doctor);
    rc = ctl_keyring(ctl, 1, &ctl->ring);
    heard = ctl_doctor_heard(doctor);

    if (rc != CTL_DONE) {
        ctl_finding(doctor, "seal key file", CTL_GRADE_PROBLEM,
                    "docs/pinaudctl.md, \"The seal key file\"", "%s", heard);
        return;
    }

    id = pinaud_keyring_id(ctl->ring, 0, &len);

    if (!pinaud_keyring_master(ctl->ring)) {
        ctl_finding(doctor, "seal key file", CTL_GRADE_WARNING,
                    "look with the operators' file", "it is a gateway's: "
                    "refresh tokens and clients' secrets are not looked at");
        return;
    }

    ctl_finding(doctor, "seal key file", CTL_GRADE_OK, NULL,
                "key %.*s seals", (int) len, id);
}


static void
ctl_doctor_store(ctl_doctor_t *doctor)
{
    int          rc;
    ctl_t       *ctl;
    const char  *heard;

    ctl = doctor->ctl;

    ctl_doctor_listen(doctor);

    rc = ctl_store_open(ctl);

    if (rc == CTL_DONE) {
        rc = ctl_store_time(ctl, &doctor->now);
    }

    heard = ctl_doctor_heard(doctor);

    if (rc == CTL_DONE) {
        doctor->open = 1;
        ctl_finding(doctor, "redis", CTL_GRADE_OK, NULL, "answers at %s",
                    ctl->redis_name);
        return;
    }

    ctl_finding(doctor, "redis", CTL_GRADE_PROBLEM, rc == CTL_USAGE
                ? "--redis URL, or PINAUD_REDIS"
                : "see whether it runs, and docs/operations.md, \"Redis\"",
                "%s", heard);
}


void
ctl_finding(ctl_doctor_t *doctor, const char *check, ctl_grade_e grade,
    const char *cure, const char *fmt, ...)
{
    int             n;
    char           *text;
    va_list         args;
    ctl_finding_t  *finding;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);

    text = ctl_alloc(doctor->ctl, (size_t) n + 1);

    va_start(args, fmt);
    vsnprintf(text, (size_t) n + 1, fmt, args);
    va_end(args);

    finding = ctl_alloc(doctor->ctl, sizeof(ctl_finding_t));
    finding->check = check;
    finding->grade = grade;
    finding->found = text;
    finding->cure = cure;

    *doctor->last = finding;
    doctor->last = &finding->next;
    doctor->grades[grade]++;
}


void
ctl_doctor_listen(ctl_doctor_t *doctor)
{
    doctor->told = open_memstream(&doctor->told_text, &doctor->told_len);

    if (doctor->told == NULL) {
        exit(ctl_fail(CTL_REFUSED, "out of memory"));
    }

    doctor->stderr_kept = stderr;
    stderr = doctor->told;
}


/* As ctl_fail() told it, but in one line and without who tells it. */

const char *
ctl_doctor_heard(ctl_doctor_t *doctor)
{
    char        *text;
    size_t       len;
    const char  *from;

    stderr = doctor->stderr_kept;
    fclose(doctor->told);

    from = doctor->told_text;
    len = doctor->told_len;

    if (strncmp(from, "pinaudctl: ", sizeof("pinaudctl: ") - 1) == 0) {
        from += sizeof("pinaudctl: ") - 1;
        len -= sizeof("pinaudctl: ") - 1;
    }

    while (len > 0 && from[len - 1] == '\n') {
        len--;
    }

    text = ctl_printable(doctor->ctl, from, len);
    free(doctor->told_text);

    return text;
}


static void
ctl_doctor_print(const ctl_doctor_t *doctor)
{
    int                   width;
    const ctl_finding_t  *finding;

    width = 0;

    for (finding = doctor->first; finding; finding = finding->next) {
        if ((int) strlen(finding->check) > width) {
            width = (int) strlen(finding->check);
        }
    }

    for (finding = doctor->first; finding; finding = finding->next) {
        printf("%-7s  %-*s  %s\n", ctl_grades[finding->grade], width,
               finding->check, finding->found);

        if (finding->cure) {
            printf("%-7s  %-*s  -> %s\n", "", width, "", finding->cure);
        }
    }

    printf("\n%u problem%s, %u warning%s\n",
           doctor->grades[CTL_GRADE_PROBLEM],
           doctor->grades[CTL_GRADE_PROBLEM] == 1 ? "" : "s",
           doctor->grades[CTL_GRADE_WARNING],
           doctor->grades[CTL_GRADE_WARNING] == 1 ? "" : "s");
}


static void
ctl_doctor_print_json(const ctl_doctor_t *doctor)
{
    json_t               *checks;
    const ctl_finding_t  *finding;

    checks = json_array();

    for (finding = doctor->first; finding; finding = finding->next) {
        ctl_json_append(checks, json_pack("{s:s, s:s, s:s, s:o}",
                                          "check", finding->check,
                                          "state", ctl_grades[finding->grade],
                                          "found", finding->found,
                                          "to_do",
                                          ctl_json_text(finding->cure)));
    }

    ctl_print_json(json_pack("{s:i, s:i, s:o}", "problems",
                             (int) doctor->grades[CTL_GRADE_PROBLEM],
                             "warnings",
                             (int) doctor->grades[CTL_GRADE_WARNING],
                             "checks", checks));
}
