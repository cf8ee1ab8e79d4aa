
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include "pinaud_limits.h"
#include "pinaud_mac.h"
#include "pinaud_policy.h"


#define PINAUD_POLICY_TEXT  (PINAUD_TEAM_TEXT + 1)   /* longer than any field */


static size_t pinaud_policy_data(unsigned char *to, const char *kind,
    const pinaud_policy_field_t *fields);


size_t
pinaud_policy_account(unsigned char *to, const pinaud_policy_field_t *fields)
{
    return pinaud_policy_data(to, "account", fields);
}


size_t
pinaud_policy_team(unsigned char *to, const pinaud_policy_field_t *fields)
{
    return pinaud_policy_data(to, "team", fields);
}


static size_t
pinaud_policy_data(unsigned char *to, const char *kind,
    const pinaud_policy_field_t *fields)
{
    unsigned        i;
    unsigned char  *p;

    p = pinaud_mac_field(to, kind, strlen(kind));

    for (i = 0; i < PINAUD_POLICY_FIELDS; i++) {

        if (fields[i].len > PINAUD_POLICY_TEXT) {
            return 0;
        }

        p = pinaud_mac_field(p, fields[i].text, fields[i].len);
    }

    return (size_t) (p - to);
}
