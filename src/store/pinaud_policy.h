
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the MACs of an account's record are made over: its fields as they are
 * in Redis, one that is not there being empty.
 */


#ifndef _PINAUD_POLICY_H_INCLUDED_
#define _PINAUD_POLICY_H_INCLUDED_


#include <stddef.h>


#pragma GCC visibility push(hidden)


#define PINAUD_POLICY_FIELDS  4
#define PINAUD_POLICY_DATA    512  /* bytes of what a MAC is made over */


typedef struct {
    const char  *text;
    size_t       len;
} pinaud_policy_field_t;


/*
 * Each takes PINAUD_POLICY_FIELDS fields and writes what pinaud_mac() takes
 * to "to", of PINAUD_POLICY_DATA bytes. Returns its length, or 0 where a field
 * is longer than any can be, and no MAC is right.
 */

/* of "mac": the account's id, credential, limits, reserved */
size_t pinaud_policy_account(unsigned char *to,
    const pinaud_policy_field_t *fields);

/* of "mac:TEAM": the account's id, team, credential, the field "team:TEAM" */
size_t pinaud_policy_team(unsigned char *to,
    const pinaud_policy_field_t *fields);


#pragma GCC visibility pop


#endif /* _PINAUD_POLICY_H_INCLUDED_ */
