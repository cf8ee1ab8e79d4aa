
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include "pinaud_keys.h"


static size_t pinaud_key_plain(char *to, const char *prefix,
    const char *name, size_t len);
static size_t pinaud_key_tagged(char *to, const char *prefix,
    const char *name, size_t len);
static size_t pinaud_key_of(char *to, const char *prefix, const char *name,
    size_t len, const char *part, size_t part_len);
static size_t pinaud_key_part(char *to, const char *part, size_t len);
static char *pinaud_key_add(char *to, const char *text, size_t len);


int
pinaud_is_name(const unsigned char *name, size_t len)
{
    size_t         i;
    unsigned char  ch;

    if (len == 0 || len > PINAUD_NAME_MAX) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        ch = name[i];

        if ((ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z')
            || (ch >= '0' && ch <= '9')
            || ch == '.' || ch == '_' || ch == '@' || ch == '-')
        {
            continue;
        }

        return 0;
    }

    return 1;
}


int
pinaud_is_account(const unsigned char *id, size_t len)
{
    size_t  i;

    if (len == 0 || len > PINAUD_ACCOUNT_MAX) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (id[i] < '0' || id[i] > '9') {
            return 0;
        }
    }

    return 1;
}


size_t
pinaud_key_credential(char *to, const char *name, size_t len)
{
    return pinaud_key_tagged(to, "pinaud:credential:{", name, len);
}


size_t
pinaud_key_secret(char *to, const char *name, size_t len)
{
    return pinaud_key_tagged(to, "pinaud:secret:{", name, len);
}


size_t
pinaud_key_calls(char *to, const char *name, size_t len)
{
    return pinaud_key_tagged(to, "pinaud:calls:{", name, len);
}


size_t
pinaud_key_writes(char *to, const char *name, size_t len)
{
    return pinaud_key_tagged(to, "pinaud:writes:{", name, len);
}


size_t
pinaud_key_version(char *to, const char *name, size_t len)
{
    return pinaud_key_tagged(to, "pinaud:version:{", name, len);
}


size_t
pinaud_key_cooldown(char *to, const char *name, size_t len)
{
    return pinaud_key_tagged(to, "pinaud:cooldown:{", name, len);
}


size_t
pinaud_key_leased_calls(char *to, const char *name, size_t len)
{
    return pinaud_key_tagged(to, "pinaud:leased-calls:{", name, len);
}


size_t
pinaud_key_leased_writes(char *to, const char *name, size_t len)
{
    return pinaud_key_tagged(to, "pinaud:leased-writes:{", name, len);
}


size_t
pinaud_key_credential_accounts(char *to, const char *name, size_t len)
{
    return pinaud_key_tagged(to, "pinaud:accounts:{", name, len);
}


size_t
pinaud_key_account_bucket(char *to, const char *name, size_t len,
    const char *account, size_t account_len)
{
    return pinaud_key_of(to, "pinaud:bucket:{", name, len, account,
                         account_len);
}


size_t
pinaud_key_team_bucket(char *to, const char *name, size_t len,
    const char *account, size_t account_len, const char *team,
    size_t team_len)
{
    size_t  n;

    n = pinaud_key_account_bucket(to, name, len, account, account_len);

    return n + pinaud_key_part(to + n, team, team_len);
}


size_t
pinaud_key_reserve(char *to, const char *name, size_t len,
    const char *account, size_t account_len, const char *team,
    size_t team_len)
{
    size_t  n;

    n = pinaud_key_of(to, "pinaud:reserve:{", name, len, account,
                      account_len);

    return n + pinaud_key_part(to + n, team, team_len);
}


size_t
pinaud_key_shared(char *to, const char *name, size_t len,
    const char *account, size_t account_len)
{
    return pinaud_key_of(to, "pinaud:shared:{", name, len, account,
                         account_len);
}


size_t
pinaud_key_leased(char *to, const char *name, size_t len,
    const char *account, size_t account_len)
{
    return pinaud_key_of(to, "pinaud:leased:{", name, len, account,
                         account_len);
}


size_t
pinaud_key_lease(char *to, const char *name, size_t len,
    const char *account, size_t account_len, const char *lease,
    size_t lease_len)
{
    size_t  n;

    n = pinaud_key_of(to, "pinaud:lease:{", name, len, account, account_len);

    return n + pinaud_key_part(to + n, lease, lease_len);
}


size_t
pinaud_key_refund(char *to, const char *name, size_t len, const char *id,
    size_t id_len)
{
    return pinaud_key_of(to, "pinaud:refund:{", name, len, id, id_len);
}


size_t
pinaud_key_account(char *to, const char *account, size_t account_len)
{
    return pinaud_key_plain(to, "pinaud:account:", account, account_len);
}


size_t
pinaud_key_team_key(char *to, const char *hex, size_t len)
{
    return pinaud_key_plain(to, "pinaud:team-key:", hex, len);
}


/* A key of what belongs to no credential. */

static size_t
pinaud_key_plain(char *to, const char *prefix, const char *name, size_t len)
{
    char  *p;

    p = pinaud_key_add(to, prefix, strlen(prefix));
    p = pinaud_key_add(p, name, len);

    return (size_t) (p - to);
}


static size_t
pinaud_key_tagged(char *to, const char *prefix, const char *name, size_t len)
{
    char  *p;

    p = pinaud_key_add(to, prefix, strlen(prefix));
    p = pinaud_key_add(p, name, len);
    p = pinaud_key_add(p, "}", 1);

    return (size_t) (p - to);
}


/* A key of something that a credential has: an account, a request. */

static size_t
pinaud_key_of(char *to, const char *prefix, const char *name, size_t len,
    const char *part, size_t part_len)
{
    size_t  n;

    n = pinaud_key_tagged(to, prefix, name, len);

    return n + pinaud_key_part(to + n, part, part_len);
}


static size_t
pinaud_key_part(char *to, const char *part, size_t len)
{
    return (size_t) (pinaud_key_add(pinaud_key_add(to, ":", 1), part, len)
                     - to);
}


/* The zero is written each time, so that a key is whole after each piece. */

static char *
pinaud_key_add(char *to, const char *text, size_t len)
{
    memcpy(to, text, len);
    to[len] = '\0';

    return to + len;
}
