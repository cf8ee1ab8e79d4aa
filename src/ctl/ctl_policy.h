
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * A policy's document: limits, accounts and teams, and nothing secret.
 */


#ifndef _CTL_POLICY_H_INCLUDED_
#define _CTL_POLICY_H_INCLUDED_


#include "ctl.h"


#define CTL_POLICY_FORMAT  1


typedef struct {
    const char        *file;
    json_t            *document;
    ctl_credential_t  *credentials;
    unsigned           ncredentials;
    ctl_account_t     *accounts;
    unsigned           naccounts;
    unsigned           errors;
} ctl_policy_t;


/* Reads and checks a document; tells all that is wrong with it. */
int ctl_policy_read(ctl_t *ctl, const char *file, ctl_policy_t *policy);

/* Tells of one error: where, as an RFC 6901 pointer, and what. */
void ctl_policy_error(ctl_policy_t *policy, const char *pointer,
    const char *text);

/* CTL_DONE, or a refusal that tells how many errors there were. */
int ctl_policy_errors(const ctl_policy_t *policy);

/* The document of what there is. */
json_t *ctl_policy_document(ctl_t *ctl, const ctl_credential_t *credentials,
    unsigned ncredentials, const ctl_account_t *accounts, unsigned naccounts);


#endif /* _CTL_POLICY_H_INCLUDED_ */
