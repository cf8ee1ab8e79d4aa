
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl doctor": keys of the seal key file that are on their way out.
 */


#include <string.h>
#include "ctl_doctor.h"
#include "ctl_seal.h"


static void ctl_doctor_seal_key(ctl_doctor_t *doctor,
    const ctl_seal_use_t *use);


void
ctl_doctor_seal_keys(ctl_doctor_t *doctor)
{
    int               rc;
    ctl_t            *ctl;
    unsigned          i;
    const char       *heard;
    ctl_seal_uses_t   uses;

    ctl = doctor->ctl;

    if (ctl->ring == NULL) {
        return;
    }

    ctl_doctor_listen(doctor);
    rc = ctl_seal_uses(ctl, ctl->ring, &uses);
    heard = ctl_doctor_heard(doctor);

    if (rc != CTL_DONE) {
        ctl_finding(doctor, "seal keys", CTL_GRADE_WARNING, NULL,
                    "what each is used for is not known: %s", heard);
        return;
    }

    for (i = 0; i < uses.count; i++) {
        if (uses.keys[i].file && strcmp(uses.keys[i].file, "first") != 0) {
            ctl_doctor_seal_key(doctor, &uses.keys[i]);
        }
    }
}


static void
ctl_doctor_seal_key(ctl_doctor_t *doctor, const ctl_seal_use_t *use)
{
    unsigned     i;
    uint64_t     used;
    const char  *check;

    used = 0;
    check = ctl_format(doctor->ctl, "seal key %s", use->id);

    for (i = 0; i < CTL_SEAL_KINDS; i++) {
        used += use->count[i];
    }

    if (used) {
        ctl_finding(doctor, check, CTL_GRADE_WARNING,
                    "pinaudctl seal-key reseal, when all gateways have the "
                    "first key", "it is not the first, and sealed or signed "
                    "%llu value%s", (unsigned long long) used,
                    used == 1 ? "" : "s");

    } else if (doctor->attempts) {
        ctl_finding(doctor, check, CTL_GRADE_OK, NULL,
                    "it is in no record; a journal may have it, since "
                    "%u attempt%s stand%s", doctor->attempts,
                    doctor->attempts == 1 ? "" : "s",
                    doctor->attempts == 1 ? "s" : "");

    } else {
        ctl_finding(doctor, check, CTL_GRADE_OK,
                    "drop its line from all seal key files; backups of Redis "
                    "still need it", "it is in no record, and no attempt "
                    "stands whose journal could have it");
    }
}
