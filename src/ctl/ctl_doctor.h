
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the files of "pinaudctl doctor" share.
 */


#ifndef _CTL_DOCTOR_H_INCLUDED_
#define _CTL_DOCTOR_H_INCLUDED_


#include <stdio.h>
#include "ctl.h"
#include "ctl_link.h"


#define CTL_DOCTOR_SOON  (14 * 86400)  /* seconds before something expires */


typedef enum {
    CTL_GRADE_OK = 0,
    CTL_GRADE_WARNING,                 /* works, but not for long or not in
                                          all cases, or can't be looked at */
    CTL_GRADE_PROBLEM
} ctl_grade_e;


typedef struct ctl_finding_s  ctl_finding_t;

struct ctl_finding_s {
    ctl_finding_t     *next;
    const char        *check;
    ctl_grade_e        grade;
    const char        *found;
    const char        *cure;           /* NULL: there is nothing to do */
};


typedef struct {
    ctl_t             *ctl;
    ctl_finding_t     *first;
    ctl_finding_t    **last;
    unsigned           grades[3];      /* how many of each */

    unsigned           open:1;         /* the store is reached */
    unsigned           attempts;       /* that stand */
    uint64_t           now;            /* Redis's time in seconds */

    ctl_link_t        *link;           /* to the server that is looked at */
    const char        *node;           /* " HOST:PORT" of it in a cluster */
    const char        *info;           /* what INFO told */

    const char       **names;          /* of credentials, sorted; or
                                          NULL: not known */
    unsigned           nnames;

    FILE              *told;           /* instead of stderr */
    FILE              *stderr_kept;
    char              *told_text;
    size_t             told_len;
} ctl_doctor_t;


/* One credential while it is looked at. */

typedef struct {
    ctl_doctor_t      *doctor;
    const char        *check;          /* "credential NAME" */
    ctl_credential_t   record;
    ctl_secret_t       secret;
    unsigned           readable:1;     /* the secrets' record */
    unsigned           sound:1;        /* nothing was found */
} ctl_patient_t;


/* ctl_doctor.c */

/* Notes what a check has found; cure NULL: nothing is to be done. */
void ctl_finding(ctl_doctor_t *doctor, const char *check, ctl_grade_e grade,
    const char *cure, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/*
 * What fails in between tells it on stderr, which is kept back; the second
 * returns it.
 */
void ctl_doctor_listen(ctl_doctor_t *doctor);
const char *ctl_doctor_heard(ctl_doctor_t *doctor);


/* ctl_doctor_redis.c: the server; ctl_doctor_user.c: what we may do there */

void ctl_doctor_server(ctl_doctor_t *doctor);
void ctl_doctor_user(ctl_doctor_t *doctor);

/* ctl_doctor_credential.c, _policy.c, _seal.c: what it holds */

void ctl_doctor_credentials(ctl_doctor_t *doctor);

/* Notes what is wrong with one. */
void ctl_patient_ill(ctl_patient_t *patient, ctl_grade_e grade,
    const char *cure, const char *found);

/* The command by which it gets new tokens. */
const char *ctl_patient_authorize(const ctl_patient_t *patient);

void ctl_doctor_policy(ctl_doctor_t *doctor);
void ctl_doctor_team_keys(ctl_doctor_t *doctor);
void ctl_doctor_seal_keys(ctl_doctor_t *doctor);


/* ctl_doctor_renewal.c: whether somebody renews tokens */

void ctl_patient_renewal(ctl_patient_t *patient);
void ctl_doctor_wishes(ctl_doctor_t *doctor);


#endif /* _CTL_DOCTOR_H_INCLUDED_ */
