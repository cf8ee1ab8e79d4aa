
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What gateways and operators wish for.
 */


#include <string.h>
#include "ctl_agent.h"
#include "ctl_store.h"
#include "pinaud_scripts.h"


#define CTL_WISH_AGAIN  500            /* ms between looks for a wish */


static int ctl_wishes_all(ctl_agent_t *agent, const redisReply *reply);
static int ctl_wishes_ahead(ctl_agent_t *agent, const redisReply *reply);
static int ctl_agent_wish(ctl_agent_t *agent, const char *name,
    const char *text);
static int ctl_wish_known(const ctl_agent_credential_t *one,
    const char *text);
static int ctl_agent_exists(ctl_agent_t *agent, const char *name);


int
ctl_agent_wishes(ctl_agent_t *agent)
{
    int          rc;
    unsigned     n;
    ctl_t       *ctl;
    redisReply  *reply;

    ctl = agent->ctl;

    reply = ctl_ask(ctl, ctl_words(ctl, "HGETALL", PINAUD_KEY_WANTED, NULL),
                    REDIS_REPLY_ARRAY);

    if (reply == NULL) {
        return CTL_STORE;
    }

    if (reply->elements != 0
        && ctl_store_time_ms(ctl, &agent->now) != CTL_DONE)
    {
        return CTL_STORE;
    }

    for (n = 0; n < agent->n; n++) {
        agent->all[n]->wished = 0;
    }

    rc = ctl_wishes_all(agent, reply);
    ctl_ahead_end(ctl);

    if (rc != CTL_DONE) {
        return rc;
    }

    for (n = 0; n < agent->n; n++) {
        if (!agent->all[n]->wished) {
            agent->all[n]->wish = CTL_WISH_NONE;
            agent->all[n]->wish_text[0] = '\0';
        }
    }

    return CTL_DONE;
}


static int
ctl_wishes_all(ctl_agent_t *agent, const redisReply *reply)
{
    int     rc;
    size_t  i;

    rc = ctl_wishes_ahead(agent, reply);

    for (i = 0; rc == CTL_DONE && i + 1 < reply->elements; i += 2) {

        if (reply->element[i]->type == REDIS_REPLY_STRING
            && reply->element[i + 1]->type == REDIS_REPLY_STRING)
        {
            rc = ctl_agent_wish(agent, reply->element[i]->str,
                                reply->element[i + 1]->str);
        }
    }

    return rc;
}


static int
ctl_wishes_ahead(ctl_agent_t *agent, const redisReply *reply)
{
    size_t                   i;
    unsigned                 n;
    ctl_agent_credential_t  *one, **list;

    list = ctl_alloc(agent->ctl, sizeof(ctl_agent_credential_t *)
                                 * (reply->elements + 1));
    n = 0;

    for (i = 0; i + 1 < reply->elements; i += 2) {

        if (reply->element[i]->type != REDIS_REPLY_STRING
            || reply->element[i + 1]->type != REDIS_REPLY_STRING)
        {
            continue;
        }

        one = ctl_agent_find(agent, reply->element[i]->str, 0);

        if (one != NULL && !ctl_wish_known(one, reply->element[i + 1]->str)) {
            list[n++] = one;
        }
    }

    return n ? ctl_agent_ahead(agent, list, n) : CTL_DONE;
}


/* What a gateway may write is not believed to be a name, nor a wish. */

static int
ctl_agent_wish(ctl_agent_t *agent, const char *name, const char *text)
{
    int                      there;
    uint64_t                 version;
    ctl_wish_e               wish;
    ctl_agent_credential_t  *one;

    wish = ctl_wish_read(text, &version);
    one = NULL;
    there = 0;

    if (wish != CTL_WISH_NONE && strlen(text) < CTL_AGENT_WISH
        && pinaud_is_name((const unsigned char *) name, strlen(name)))
    {
        one = ctl_agent_find(agent, name, 0);
        there = (one != NULL && one->listed) ? 1
                                             : ctl_agent_exists(agent, name);
    }

    if (there == -1) {
        return CTL_STORE;
    }

    if (!there) {
        return ctl_agent_unwish(agent, name, text);
    }

    if (one == NULL) {
        one = ctl_agent_find(agent, name, 1);
    }

    one->listed = 1;
    one->wished = 1;

    if (ctl_wish_known(one, text)) {
        return CTL_DONE;
    }

    if (strcmp(one->wish_text, text) != 0) {
        memcpy(one->wish_text, text, strlen(text) + 1);

        if (wish == CTL_WISH_OPERATOR || wish == CTL_WISH_FORCE) {
            one->paused_until = 0;
        }
    }

    one->wish = wish;
    one->wish_version = version;
    one->look_at = ctl_clock() + CTL_WISH_AGAIN;

    return ctl_agent_look(agent, one);
}


/* It was looked at just now. */

static int
ctl_wish_known(const ctl_agent_credential_t *one, const char *text)
{
    return strcmp(one->wish_text, text) == 0 && one->look_at > ctl_clock();
}


int
ctl_agent_unwish(ctl_agent_t *agent, const char *name, const char *text)
{
    ctl_t        *ctl;
    ctl_words_t  *words;

    ctl = agent->ctl;
    words = ctl_words(ctl, "EVAL", pinaud_script_wanted, "1",
                      PINAUD_KEY_WANTED, name, text, NULL);

    return ctl_ask(ctl, words, REDIS_REPLY_INTEGER) ? CTL_DONE : CTL_STORE;
}


static int
ctl_agent_exists(ctl_agent_t *agent, const char *name)
{
    ctl_t       *ctl;
    redisReply  *reply;

    ctl = agent->ctl;

    reply = ctl_ask(ctl, ctl_words(ctl, "EXISTS",
                                   ctl_key(ctl, pinaud_key_credential, name),
                                   NULL),
                    REDIS_REPLY_INTEGER);

    return reply ? reply->integer == 1 : -1;
}
