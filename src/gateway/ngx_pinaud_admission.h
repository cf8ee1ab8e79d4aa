
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Who calls, what the policy is, and whether a request is admitted: what the
 * files of admissions offer to the others.
 */


#ifndef _NGX_PINAUD_ADMISSION_H_INCLUDED_
#define _NGX_PINAUD_ADMISSION_H_INCLUDED_


#include "ngx_pinaud.h"


#pragma GCC visibility push(hidden)


/* cache: what is read from Redis and used for a few seconds */

#define NGX_PINAUD_CACHE_KEY  (PINAUD_ACCOUNT_MAX + 1 + PINAUD_NAME_MAX)

/* The beginning of each entry. */

typedef struct {
    ngx_str_node_t                node;    /* first: nodes are cast to it */
    ngx_pinaud_cache_t           *cache;
    ngx_queue_t                   lru;
    ngx_queue_t                   waiting; /* of records' waiters */
    ngx_uint_t                    refs;
    ngx_msec_t                    asked;   /* when it was read */
    u_char                        key[NGX_PINAUD_CACHE_KEY];

    unsigned                      fresh:1; /* Redis need not be asked */
    unsigned                      refused:1;     /* to be read; in the log */
    unsigned                      unreadable:1;  /* it can't be used */
    unsigned                      useful:1;      /* it lets somebody in */
    unsigned                      asking:1;
    unsigned                      known:1; /* is in the tree */
} ngx_pinaud_cached_t;


typedef struct {
    size_t                        size;    /* of an entry */
    ngx_uint_t                    max[2];  /* a worker: of those that are of no
                                              use, of those that are */

    /*
     * Reads a reply, no error, into a new entry, which takes the old one's
     * place, and tells whether it is useful. NULL: done; else why it can't be
     * used.
     */
    const char                 *(*read)(ngx_pinaud_cached_t *entry,
                                      ngx_pinaud_cached_t *old,
                                      redisReply *reply);
    void                        (*log)(ngx_pinaud_cached_t *entry,
                                      const char *reason);
    void                        (*free)(ngx_pinaud_cached_t *entry);
                                           /* what it has; or NULL */
} ngx_pinaud_cache_kind_t;


/* Made in a worker's pool. NULL: no memory. */
ngx_pinaud_cache_t *ngx_pinaud_cache_create(ngx_pool_t *pool,
    const ngx_pinaud_cache_kind_t *kind, ngx_pinaud_main_conf_t *pmcf);

/* Lets go of all entries; those that are referred to go with the last. */
void ngx_pinaud_cache_destroy(ngx_pinaud_cache_t *cache);

/* Whether a record's field "format" is of one that is understood. */
ngx_uint_t ngx_pinaud_cache_understood(redisReply *format);

/* What the cache was made with. */
ngx_pinaud_main_conf_t *ngx_pinaud_cache_conf(ngx_pinaud_cached_t *entry);

/*
 * The entry of a key, as it is known or empty, with a reference more. Not
 * fresh: ngx_pinaud_cache_ask() brings it. NULL: no memory.
 */
ngx_pinaud_cached_t *ngx_pinaud_cache_get(ngx_pinaud_cache_t *cache,
    ngx_str_t *key);

/* One reference less. */
void ngx_pinaud_cache_release(ngx_pinaud_cached_t *entry);

/* Whether it may be used without asking Redis. */
ngx_uint_t ngx_pinaud_cache_fresh(ngx_pinaud_cached_t *entry);

/* Whether what was asked for then may be used still. */
ngx_uint_t ngx_pinaud_cache_young(ngx_msec_t asked);

/*
 * Reads it by a command, once for all who wait in entry->waiting; each is
 * called with whether there was an answer, and gets it anew: an entry that
 * was read never changes. The question has a reference of its own.
 * NGX_ERROR: it could not be asked.
 */
ngx_int_t ngx_pinaud_cache_ask(ngx_pinaud_cached_t *entry,
    ngx_pinaud_redis_t *redis, int argc, const char **args,
    const size_t *lens);


/* policy: accounts and teams */

struct ngx_pinaud_policy_s {
    ngx_pinaud_cached_t           cached;  /* first */

    u_char                        account[PINAUD_ACCOUNT_MAX];
    size_t                        account_len;
    u_char                        team[PINAUD_NAME_MAX];
    size_t                        team_len;

    u_char                        credential[PINAUD_NAME_MAX];
    size_t                        credential_len;
    ngx_uint_t                    slot;    /* of the credential's keys */
    u_char                        account_limits[PINAUD_LIMITS_TEXT];
    size_t                        account_limits_len;
    u_char                        team_limits[PINAUD_LIMITS_TEXT];
    size_t                        team_limits_len;
    u_char                        reserves[sizeof("1000000 1000000")];
    size_t                        reserves_len;  /* as admit.lua takes them */
    ngx_uint_t                    reserved;      /* the sum of all teams' */

    ngx_pinaud_turn_t            *turns[2];      /* of writes, of reads */
    ngx_pinaud_command_t          commands[NGX_PINAUD_MODES];
    struct ngx_pinaud_ask_s      *asks[NGX_PINAUD_MODES];    /* not sent yet */

    ngx_msec_t                    leased;  /* when its lease was looked at */
    uint64_t                      worked[2];     /* versions of the token, in
                                                    writes, in reads */

    unsigned                      loaded:1;      /* what is below was read */
    unsigned                      allowed:1;     /* the team, to the account */
};

extern const ngx_pinaud_cache_kind_t  ngx_pinaud_policy_kind;

/*
 * The policy for an account and a team, with a reference more. Not fresh:
 * ngx_pinaud_policy_ask() brings it. NULL: no memory.
 */
ngx_pinaud_policy_t *ngx_pinaud_policy_get(ngx_pinaud_cache_t *policies,
    ngx_str_t *account, ngx_str_t *team);

/* Sets whose policy it is. */
void ngx_pinaud_policy_name(ngx_pinaud_policy_t *policy, ngx_str_t *account,
    ngx_str_t *team);

/* One reference less; what a policy has is freed with the last. */
void ngx_pinaud_policy_release(ngx_pinaud_policy_t *policy);
void ngx_pinaud_policy_free(ngx_pinaud_cached_t *cached);

/*
 * What the zone knows of the policy's credential, and what it is told: see
 * ngx_pinaud_zone_fact() and ngx_pinaud_zone_learn().
 */
uint64_t ngx_pinaud_policy_fact(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_fact_e fact);
void ngx_pinaud_policy_learn(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_fact_e fact, uint64_t value);

/* Reads it from Redis: see ngx_pinaud_cache_ask(). */
ngx_int_t ngx_pinaud_policy_ask(ngx_pinaud_policy_t *policy,
    ngx_pinaud_redis_t *redis);


/* caller: whose a team key is */

extern const ngx_pinaud_cache_kind_t  ngx_pinaud_caller_kind;

/*
 * Reads the key that the request tells into record->team_key, empty if there
 * is none, and covers it where the client's fields hold it.
 */
ngx_int_t ngx_pinaud_caller_key(ngx_pinaud_record_t *record,
    ngx_http_complex_value_t *cv);

/*
 * Looks up the team of record->team_key. NGX_OK: record->identified; without
 * a team record->verdict tells why. NGX_AGAIN: the request goes on by
 * ngx_pinaud_request_answered(), or with its admission if that has begun; at
 * the latest its timer calls ngx_pinaud_caller_failed().
 */
ngx_int_t ngx_pinaud_caller_ask(ngx_pinaud_record_t *record);

/*
 * The store did not tell whose the key is. NGX_OK, as above: with an outage
 * allowance what was read within the last minute holds.
 */
ngx_int_t ngx_pinaud_caller_failed(ngx_pinaud_record_t *record,
    const char *reason);

/* Whether what was read of the caller may be gone by in an outage. */
ngx_uint_t ngx_pinaud_caller_lately(ngx_pinaud_record_t *record);


/* admission */

/* The record that waits by its waiter. */
#define ngx_pinaud_waiter_record(w)                                          \
    ngx_queue_data(w, ngx_pinaud_record_t, waiter)

/*
 * Asks for admission. NGX_OK: record->verdict is there. NGX_AGAIN: it comes
 * by ngx_pinaud_request_answered(), at the latest when the caller's timer
 * calls ngx_pinaud_admission_cancel().
 */
ngx_int_t ngx_pinaud_admission_ask(ngx_pinaud_record_t *record);


/* Stops waiting; a charge that a late reply tells of is given back. */
void ngx_pinaud_admission_cancel(ngx_pinaud_record_t *record);

/* The module's configuration, of the cycle that took the request. */
ngx_pinaud_main_conf_t *ngx_pinaud_main_conf(ngx_pinaud_record_t *record);

/* A verdict of Redis is in the record. NGX_AGAIN: it goes on asking. */
ngx_int_t ngx_pinaud_admission_told(ngx_pinaud_record_t *record);

/* Makes the verdict that the store can't be used, and counts why; NGX_OK. */
ngx_int_t ngx_pinaud_admission_store_down(ngx_pinaud_record_t *record,
    const char *reason);


/* ask: questions to Redis */

/* Makes a worker ready to ask. */
void ngx_pinaud_ask_init(ngx_pinaud_worker_t *worker);

/*
 * Joins the question that goes out for the record's policy at the end of this
 * turn of the event loop. NGX_ERROR: no memory.
 */
ngx_int_t ngx_pinaud_ask_join(ngx_pinaud_record_t *record);

/* Waits for no answer any more; may be called at any time. */
void ngx_pinaud_ask_leave(ngx_pinaud_record_t *record);


/* turn: who asks when the quota is used up */

/* Makes a worker ready to refuse from memory. */
void ngx_pinaud_turn_init(ngx_pinaud_worker_t *worker);

/*
 * Whether a request may ask Redis. NGX_AGAIN: it is in line, and goes on by
 * ngx_pinaud_request_ask_again(), or, refused from memory, a little later by
 * ngx_pinaud_request_answered(). NGX_DECLINED: it is refused from memory now.
 */
ngx_int_t ngx_pinaud_turn_take(ngx_pinaud_record_t *record);

/*
 * An answer of Redis is there, in the record. NGX_AGAIN: the request, refused,
 * waits in line again.
 */
ngx_int_t ngx_pinaud_turn_told(ngx_pinaud_record_t *record);

/* The request is no more concerned; may be called at any time. */
void ngx_pinaud_turn_leave(ngx_pinaud_record_t *record);

/*
 * The text of a refusal from memory, in the request's pool. NGX_DECLINED: it
 * is not one, or there is no such text yet; the one made then may be kept for
 * the next.
 */
ngx_int_t ngx_pinaud_turn_text(ngx_pinaud_record_t *record, ngx_str_t *text);
void ngx_pinaud_turn_keep_text(ngx_pinaud_record_t *record, ngx_str_t *text);

/* A request in line waited as long as it may: makes it the refusal. */
void ngx_pinaud_turn_expire(ngx_pinaud_record_t *record);

/* The policy changed: what is remembered may not hold. NULL: nothing. */
void ngx_pinaud_turn_reopen(ngx_pinaud_turn_t *turn);

/* One reference less. NULL: nothing. */
void ngx_pinaud_turn_release(ngx_pinaud_turn_t *turn);


/* command: as it goes to Redis */

/*
 * Makes admit.lua's call for a policy, as EVALSHA or, with the script, as
 * EVAL; to be freed by ngx_free(). NGX_ERROR: no memory.
 */
ngx_int_t ngx_pinaud_command_admit(ngx_pinaud_policy_t *policy,
    ngx_pinaud_mode_e mode, const ngx_pinaud_script_t *script,
    ngx_uint_t whole, ngx_pinaud_command_t *command);

/* The keys: first the credential's record, then the buckets. */
ngx_uint_t ngx_pinaud_command_keys(ngx_pinaud_policy_t *policy,
    ngx_pinaud_mode_e mode, char (*keys)[PINAUD_KEY_MAX], size_t *lens);


/* verdict: what an admission answered */

/* A reply of admit.lua, read. */

typedef struct {
    ngx_pinaud_verdict_e          verdict; /* of the first */
    int64_t                       now;     /* ms of Redis's time */
    uint64_t                      version; /* of the token */
    time_t                        expires; /* 0: not known */
    ngx_uint_t                    admitted;      /* the first so many */
    ngx_uint_t                    reserved;      /* by the team's reserve, the
                                              first of them */
    ngx_uint_t                    buckets; /* that have limits: bits */
    ngx_uint_t                    nlimits;
    ngx_pinaud_limit_t            limits[NGX_PINAUD_MAX_POLICIES];
    redisReply                   *sealed;
    ngx_buf_t                    *token;   /* opened for the first who needed
                                              it */
    uint64_t                      used;    /* version, the newest so far */
    unsigned                      older:1; /* than that, which is still good */
    unsigned                      newer:1;
} ngx_pinaud_reply_t;

/* Reads a reply, to which the result refers. NGX_ERROR: not understood. */
ngx_int_t ngx_pinaud_verdict_read(redisReply *from,
    ngx_pinaud_reply_t *reply);

/* What was charged for the i-th of those who asked: bits, as of the keys. */
ngx_uint_t ngx_pinaud_verdict_buckets(ngx_pinaud_reply_t *reply,
    ngx_pinaud_policy_t *policy, ngx_uint_t i);

/* Makes it the verdict of the i-th of those who asked. */
void ngx_pinaud_verdict_apply(ngx_pinaud_record_t *record,
    ngx_pinaud_reply_t *reply, ngx_uint_t i);

/*
 * Compares a reply's version with what was used: sets what it says of that, and
 * logs that it is older. And remembers it, once its token was opened.
 */
void ngx_pinaud_version_check(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_reply_t *reply);
void ngx_pinaud_version_used(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_reply_t *reply);

/* Opens a sealed token, of record->version, for the record. */
ngx_int_t ngx_pinaud_verdict_token(ngx_pinaud_record_t *record,
    u_char *sealed, size_t len);

/* Wipes the token; it may be called at any time. */
void ngx_pinaud_token_wipe(ngx_pinaud_record_t *record);


/* tell: scripts whose answer nobody waits for */

/* The reply, NULL: none came. */
typedef void (*ngx_pinaud_told_pt)(void *data, redisReply *reply);

/*
 * Calls a script with its arguments from the number of keys on. The handler
 * may be NULL; it is called once if the result is NGX_OK. NGX_DECLINED: Redis
 * can't be reached now; it is not tried again.
 */
ngx_int_t ngx_pinaud_tell(ngx_pinaud_redis_t *redis,
    const ngx_pinaud_script_t *script, ngx_uint_t argc, const char **args,
    const size_t *lens, ngx_pinaud_told_pt handler, void *data);


/* lease: the table of units held */

/* Makes pmcf->outage where there is an allowance. An error is told. */
ngx_int_t ngx_pinaud_lease_add(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf);


/* renew: newer tokens that are wanted, and those who wait for them */

/* How a credential is, by its record. */

typedef enum {
    NGX_PINAUD_STATE_UNKNOWN = 0,
    NGX_PINAUD_STATE_OK,
    NGX_PINAUD_STATE_RETRYING,             /* a refresh failed, and is tried
                                              again */
    NGX_PINAUD_STATE_NEEDS_AUTHORIZATION,
    NGX_PINAUD_STATE_WRONG_CLIENT,
    NGX_PINAUD_STATES
} ngx_pinaud_state_e;

/* Whether no agent gets on: a person must act. */
#define ngx_pinaud_state_unattended(state)                                   \
    ((state) >= NGX_PINAUD_STATE_NEEDS_AUTHORIZATION)

const char *ngx_pinaud_state_name(ngx_pinaud_state_e state);

ngx_pinaud_renewals_t *ngx_pinaud_renewals_create(ngx_pool_t *pool);

/* To be called when the worker's link to Redis is closed. */
void ngx_pinaud_renewals_destroy(ngx_pinaud_renewals_t *renewals);

/* Reads the record of a policy's credential for the zone, if it is time. */
void ngx_pinaud_renewal_look(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy);

/*
 * The record's token, which Pinterest refused or which is expired, is no good:
 * Redis is told so, soon and in any case, unless it has a newer one.
 */
void ngx_pinaud_renew_want(ngx_pinaud_record_t *record);

/*
 * The same of a token that is not used since a newer one was. Where Redis lost
 * that one, the agent that made it has it still, and puts it back: it is given
 * the time to.
 */
void ngx_pinaud_renew_older(ngx_pinaud_record_t *record);

/*
 * Waits for a newer one, for what is left of pinaud_refresh_wait. NGX_AGAIN:
 * it goes on by ngx_pinaud_request_renewed(), or is refused with the record's
 * verdict by ngx_pinaud_request_answered(). NGX_OK: there is a newer one.
 * NGX_DECLINED: it may not wait.
 */
ngx_int_t ngx_pinaud_renew_join(ngx_pinaud_record_t *record);

/* The token had another answer than 401, the first of its version here. */
void ngx_pinaud_renew_worked(ngx_pinaud_record_t *record);

/* Whether a person must act before there can be a newer token. */
ngx_uint_t ngx_pinaud_renew_unattended(ngx_pinaud_record_t *record);


/* outage: units held beforehand, spent when Redis can't be reached */

/* A write was admitted: takes, renews or returns the account's units. */
void ngx_pinaud_outage_admitted(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_reply_t *reply);

/*
 * Admits a write by a unit. NGX_DECLINED: there is none, or it may not have
 * one.
 */
ngx_int_t ngx_pinaud_outage_spend(ngx_pinaud_record_t *record);

/* Nothing was sent of it: its unit, if it has one, may be spent again. */
void ngx_pinaud_outage_unspend(ngx_pinaud_record_t *record);

/* Units that may be spent now, and requests that were ever let through. */
void ngx_pinaud_outage_count(ngx_pinaud_main_conf_t *pmcf, ngx_uint_t *held,
    ngx_uint_t *requests);


/* keep: what Redis is told in any case, now or when it can be reached */

/* Of which this is the first member. */

struct ngx_pinaud_kept_s {
    ngx_queue_t                   queue;
    ngx_pinaud_keeper_t          *keeper;
    ngx_int_t                   (*send)(ngx_pinaud_kept_t *kept,
                                      ngx_pinaud_main_conf_t *pmcf);
                                           /* NGX_OK: the answer comes by
                                              ngx_pinaud_keep_told();
                                              NGX_ABORT: it is too late; else
                                              it is called again */
    void                        (*end)(ngx_pinaud_kept_t *kept,
                                      ngx_pinaud_main_conf_t *pmcf,
                                      redisReply *reply);
                                           /* the last call; no reply: it is
                                              given up */
};

/* Has room for so many; NULL: no memory. */
ngx_pinaud_keeper_t *ngx_pinaud_keeper_create(ngx_pinaud_main_conf_t *pmcf,
    ngx_uint_t room, ngx_cycle_t *cycle);

/* Gives up what is kept, when the connection is closed. */
void ngx_pinaud_keeper_destroy(ngx_pinaud_keeper_t *keeper);

/* Sends it, now or later; where there is no more room the oldest gives way. */
void ngx_pinaud_keep(ngx_pinaud_keeper_t *keeper, ngx_pinaud_kept_t *kept);

/* Of ngx_pinaud_told_pt, with what is kept. */
void ngx_pinaud_keep_told(void *data, redisReply *reply);


/* refund */

#define NGX_PINAUD_REFUND_MAX   1024       /* a worker keeps */

/*
 * Gives a charge back, now or when Redis can be reached. What can't be given
 * back is counted; the charge stays, which lets nothing extra through.
 */
void ngx_pinaud_refund(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_charge_t *charge);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_ADMISSION_H_INCLUDED_ */
