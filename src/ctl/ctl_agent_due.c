
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What an agent decides.
 */


#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl_agent_due.h"


#define CTL_DUE_LIFETIME  2592000      /* of a token, where nobody told */
#define CTL_DUE_KEEP      604800       /* before a refresh token expires */


static uint64_t ctl_due_lifetime(const ctl_case_t *one);
static uint64_t ctl_due_expires(const ctl_case_t *one);
static int ctl_due_wanted(const ctl_case_t *one);
static int ctl_due_lost(const ctl_case_t *one);


int
ctl_attempt_read(const char *text, ctl_attempt_t *attempt)
{
    int  end;

    end = 0;

    if (*text < '0' || *text > '9'
        || sscanf(text, "%18" SCNu64 " %64[A-Za-z0-9._-] %64[A-Za-z0-9._-] "
                  "%18" SCNu64 " %1u %64[0-9a-f]%n",
                  &attempt->refresh_version, attempt->host, attempt->journal,
                  &attempt->at, &attempt->turn, attempt->id, &end)
           != 6)
    {
        return -1;
    }

    return (text[end] == '\0') ? 0 : -1;
}


ctl_wish_e
ctl_wish_read(const char *text, uint64_t *version)
{
    char      *how;
    unsigned   i;

    static const char  *const names[] = {
        "", "refused", "worked", "expired", "operator", "force"
    };

    if (*text < '0' || *text > '9') {
        return CTL_WISH_NONE;
    }

    *version = strtoull(text, &how, 10);

    if (how - text > 18 || *how++ != ' ') {
        return CTL_WISH_NONE;
    }

    for (i = CTL_WISH_REFUSED; i <= CTL_WISH_FORCE; i++) {
        if (strcmp(how, names[i]) == 0) {
            return (ctl_wish_e) i;
        }
    }

    return CTL_WISH_NONE;
}


/*
 * An attempt of one's own is brought to an end, due or not. Somebody else's is
 * left alone: only its owner can know what became of it. One that is gone for
 * good is taken over once, and when there is no more time to wait.
 */

ctl_due_e
ctl_due(const ctl_case_t *one)
{
    uint64_t  at;

    if (!one->usable || one->unauthorized || one->paused) {
        return CTL_DUE_NOT;
    }

    if (one->attempt != NULL && !one->own) {
        return ctl_due_lost(one) ? CTL_DUE_TAKEOVER : CTL_DUE_NOT;
    }

    if (one->attempt != NULL || one->unresolved || ctl_due_wanted(one)) {
        return CTL_DUE_REFRESH;
    }

    at = ctl_due_at(one);

    return (at != 0 && at <= one->now / 1000) ? CTL_DUE_REFRESH : CTL_DUE_NOT;
}


static int
ctl_due_lost(const ctl_case_t *one)
{
    uint64_t  expires;

    if (one->wish == CTL_WISH_FORCE && !ctl_wish_over(one)) {
        return 1;
    }

    if (one->attempt->turn != 1
        || one->now < one->attempt->at + one->takeover)
    {
        return 0;
    }

    if (one->wish != CTL_WISH_OPERATOR && ctl_due_wanted(one)) {
        return 1;
    }

    expires = ctl_due_expires(one);

    return expires != 0
           && one->now / 1000 + ctl_due_lifetime(one) / 20 >= expires;
}


/*
 * Whether somebody wants a newer token, and may have it: one a second, whoever
 * asks. Tokens of which none is ever good for anything, as where a scope is
 * missing, are made more and more seldom. Where Redis's clock was set back
 * nobody waits for it.
 */

static int
ctl_due_wanted(const ctl_case_t *one)
{
    uint64_t  last, n;

    if (one->wish == CTL_WISH_NONE || ctl_wish_over(one)) {
        return 0;
    }

    n = (one->wish == CTL_WISH_REFUSED && one->demands != 0) ? one->demands
                                                             : 1;
    last = one->refreshed * 1000;

    return one->now < last || one->now >= last + ctl_backoff(n, 0);
}


/*
 * A version that far ahead nobody has seen: who waits for it would have tokens
 * made without end.
 */

int
ctl_wish_over(const ctl_case_t *one)
{
    return one->version > one->wish_version || !one->usable
           || one->unauthorized
           || one->wish_version - one->version >= CTL_WISH_JUMP;
}


/*
 * After 80 to 90 % of its lifetime; and once more in the last week of a refresh
 * token that would else expire unused.
 */

uint64_t
ctl_due_at(const ctl_case_t *one)
{
    uint64_t  ahead, at, expires, keep;

    at = 0;
    expires = ctl_due_expires(one);

    if (expires != 0) {
        ahead = ctl_due_lifetime(one) * (CTL_SPREAD + one->spread)
                / (CTL_SPREAD * 10);
        at = expires > ahead ? expires - ahead : 1;
    }

    if (one->refresh_expires > CTL_DUE_KEEP) {
        keep = one->refresh_expires - CTL_DUE_KEEP;

        if (one->refreshed < keep && (at == 0 || keep < at)) {
            at = keep;
        }
    }

    return at;
}


static uint64_t
ctl_due_expires(const ctl_case_t *one)
{
    if (one->expires != 0 || one->refreshed == 0) {
        return one->expires;
    }

    return one->refreshed + CTL_DUE_LIFETIME;
}


static uint64_t
ctl_due_lifetime(const ctl_case_t *one)
{
    if (one->refreshed != 0 && one->expires > one->refreshed) {
        return one->expires - one->refreshed;
    }

    return CTL_DUE_LIFETIME;
}


uint64_t
ctl_backoff(uint64_t n, unsigned random)
{
    uint64_t  ms;

    if (n == 0) {
        return 0;
    }

    ms = (n > 10) ? CTL_BACKOFF_MAX : (uint64_t) CTL_BACKOFF_MIN << (n - 1);

    if (ms > CTL_BACKOFF_MAX) {
        ms = CTL_BACKOFF_MAX;
    }

    return ms - ms / 2 * (random % 1024) / 1024;
}


/* FNV-1a: the same at every agent, so that they agree on when. */

unsigned
ctl_spread(const char *name)
{
    uint32_t  hash;

    for (hash = 2166136261u; *name; name++) {
        hash = (hash ^ (unsigned char) *name) * 16777619u;
    }

    return hash % CTL_SPREAD;
}
