
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl cooldown", and what other commands tell of cooldowns.
 */


#include <stdlib.h>
#include <string.h>
#include "ctl.h"


#define CTL_COOLDOWN_MS  120000
#define CTL_DAY_MS       86400000


static int ctl_cooldown_clear(ctl_t *ctl);
static int ctl_cooldown_plan(ctl_t *ctl, void *data);
static int ctl_cooldown_field(ctl_t *ctl, const char *key,
    const redisReply *value, uint64_t latest, ctl_cooldown_t *cooldown,
    uint64_t *ends);


const ctl_command_t  ctl_cooldown_commands[] = {

    { .noun = "cooldown", .verb = "clear", .args = "CREDENTIAL", .min = 1,
      .max = 1, .handler = ctl_cooldown_clear,
      .summary = "End a credential's cooldown before its time",
      .details =
"Gateways send nothing by a credential after Pinterest refused a call by its\n"
"own limits, until its window is over. Cleared too early the next call is\n"
"refused again, and so begins the next cooldown." },

    { .noun = NULL }
};


static int
ctl_cooldown_clear(ctl_t *ctl)
{
    int  rc;

    rc = ctl_check_name("credential", ctl->args[0]);

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_transact(ctl, ctl_cooldown_plan, NULL);
    }

    if (rc == CTL_DONE) {
        ctl_report(ctl, 0);
    }

    return rc;
}


static int
ctl_cooldown_plan(ctl_t *ctl, void *data)
{
    int                rc;
    const char        *key, *name;
    ctl_change_t      *change;
    ctl_cooldown_t     cooldown;
    ctl_credential_t   credential;

    (void) data;

    name = ctl->args[0];
    key = ctl_key(ctl, pinaud_key_cooldown, name);

    rc = ctl_watch(ctl, key);

    if (rc == CTL_DONE) {
        rc = ctl_credential_read(ctl, name, &credential);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    if (!credential.exists) {
        return ctl_fail(CTL_REFUSED, "there is no credential %s", name);
    }

    rc = ctl_cooldown_read(ctl, &credential, &cooldown);

    if (rc != CTL_DONE) {
        return rc;
    }

    if (cooldown.writes == 0 && cooldown.all == 0) {
        return CTL_DONE;
    }

    change = ctl_change(ctl, "cooldown", name, NULL, "deleted");
    ctl_change_field(ctl, change, "writes",
                     ctl_cooldown_text(ctl, &cooldown, cooldown.writes), NULL);
    ctl_change_field(ctl, change, "all calls",
                     ctl_cooldown_text(ctl, &cooldown, cooldown.all), NULL);

    ctl_queue(ctl, ctl_words(ctl, "DEL", key, NULL));

    return CTL_DONE;
}


int
ctl_cooldown_read(ctl_t *ctl, const ctl_credential_t *credential,
    ctl_cooldown_t *cooldown)
{
    int           rc;
    uint64_t      latest;
    const char   *key;
    redisReply   *reply;
    ctl_words_t  *words;

    memset(cooldown, 0, sizeof(ctl_cooldown_t));

    key = ctl_key(ctl, pinaud_key_cooldown, credential->name);
    words = ctl_words(ctl, "HMGET", key, "writes", "all", NULL);
    reply = ctl_ask_values(ctl, words, key, 2);

    if (reply == NULL || ctl_store_time_ms(ctl, &cooldown->now) != CTL_DONE) {
        return CTL_STORE;
    }

    /* as the gateways': one that ends later is of a clock set back since */

    latest = (strcmp(credential->tier, "trial") == 0)
             ? (cooldown->now / CTL_DAY_MS + 1) * CTL_DAY_MS
             : cooldown->now + CTL_COOLDOWN_MS;

    rc = ctl_cooldown_field(ctl, key, reply->element[0], latest, cooldown,
                            &cooldown->writes);

    if (rc == CTL_DONE) {
        rc = ctl_cooldown_field(ctl, key, reply->element[1], latest, cooldown,
                                &cooldown->all);
    }

    return rc;
}


static int
ctl_cooldown_field(ctl_t *ctl, const char *key, const redisReply *value,
    uint64_t latest, ctl_cooldown_t *cooldown, uint64_t *ends)
{
    uint64_t  ms;

    if (value->type == REDIS_REPLY_NIL) {
        return CTL_DONE;
    }

    if (value->type != REDIS_REPLY_STRING || value->len == 0
        || value->len > 15
        || strspn(value->str, "0123456789") != (size_t) value->len)
    {
        return ctl_fail(CTL_STORE, "%s holds something else than a cooldown: "
                        "delete it at Redis at %s", key, ctl->redis_name);
    }

    ms = strtoull(value->str, NULL, 10);
    *ends = (ms > cooldown->now && ms <= latest) ? ms : 0;

    return CTL_DONE;
}


const char *
ctl_cooldown_text(ctl_t *ctl, const ctl_cooldown_t *cooldown, uint64_t ends)
{
    if (ends == 0) {
        return NULL;
    }

    return ctl_format(ctl, "until %s (in %s)",
                      ctl_time(ctl, (ends + 999) / 1000),
                      ctl_span(ctl, ends - cooldown->now));
}
