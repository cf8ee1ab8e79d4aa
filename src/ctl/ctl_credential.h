
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the commands share that put tokens into a credential.
 */


#ifndef _CTL_CREDENTIAL_H_INCLUDED_
#define _CTL_CREDENTIAL_H_INCLUDED_


#include "ctl.h"


/* A text of NULL was not given. */

typedef struct {
    char              *text;
    size_t             len;
} ctl_plain_t;


/* What shall be of a credential; what was not given stays as it is. */

typedef struct {
    const char        *name;

    pinaud_keyring_t  *ring;           /* NULL: there is nothing to seal */
    ctl_plain_t        token;
    ctl_plain_t        refresh;
    ctl_plain_t        client_secret;
    const char        *client_id;
    const char        *scope;          /* of the token; NULL: not told */

    uint64_t           now;            /* when the tokens were asked for, by
                                          Redis's clock; 0: now */
    uint64_t           expires_in;     /* 0: not told */
    uint64_t           refresh_expires_in;

    const char        *tier;           /* NULL: not told */
    int                limits_named;
    int                limits_all_named;
    pinaud_limits_t    limits;
    pinaud_limits_t    limits_all;
} ctl_put_t;


/* ctl_authorize.c */

extern const ctl_option_t  ctl_authorize_table[];

int ctl_credential_authorize(ctl_t *ctl);


/* ctl_credential_put.c, ctl_credential_store.c */

/* Reads --client-id. */
int ctl_put_client_id(ctl_t *ctl, ctl_put_t *put);

/* Reads the file that an option names, if it was given, and the ring. */
int ctl_put_secret(ctl_t *ctl, ctl_put_t *put, const char *option,
    ctl_plain_t *plain);

/* Changes the credential, or makes it. What changed is to be reported. */
int ctl_put_store(ctl_t *ctl, ctl_put_t *put);


/* ctl_credential_state.c */

typedef struct {
    const char        *state;
    const char        *next;           /* NULL: nothing is to be done */
    const char        *sealed_by;
    char               fingerprint[CTL_FINGERPRINT];   /* or "" */
} ctl_state_t;


/*
 * Checks with a ring whether the token opens; it may be NULL, and so may the
 * secrets of which nothing is known.
 */
void ctl_credential_state(ctl_t *ctl, const ctl_credential_t *credential,
    const ctl_secret_t *secret, uint64_t now, pinaud_keyring_t *ring,
    ctl_state_t *state);

/* What a person types to authorize it; one without an app has to tell that. */
const char *ctl_authorize_command(ctl_t *ctl, const char *name,
    const ctl_secret_t *secret);


#endif /* _CTL_CREDENTIAL_H_INCLUDED_ */
