
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the files of the gateway share: configuration, the record of a
 * request, and what each file offers to the others.
 */


#ifndef _NGX_PINAUD_H_INCLUDED_
#define _NGX_PINAUD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "pinaud_audience.h"
#include "pinaud_keys.h"
#include "pinaud_limits.h"
#include "pinaud_path.h"
#include "pinaud_problem.h"
#include "pinaud_seal.h"
#include "pinaud_team_key.h"
#include "pinaud_url.h"
#include "ngx_pinaud_redis.h"


#pragma GCC visibility push(hidden)


#define NGX_PINAUD_VERSION       "0.1.0"

#define NGX_PINAUD_MAX_POLICIES  16        /* limits of all buckets together */
#define NGX_PINAUD_KEYS          11        /* of a script, at most */


/* Operations, the label of metrics: the creates are pinaud_operation_e. */

typedef enum {
    NGX_PINAUD_CREATE_CUSTOM = PINAUD_CREATE_CUSTOM,
    NGX_PINAUD_CREATE = PINAUD_CREATE,
    NGX_PINAUD_LIST,
    NGX_PINAUD_GET,
    NGX_PINAUD_OTHER,
    NGX_PINAUD_OPERATIONS
} ngx_pinaud_operation_e;


typedef enum {
    NGX_PINAUD_FORWARDED = 0,              /* the answer is Pinterest's */
    NGX_PINAUD_DRY_RUN,
    NGX_PINAUD_INVALID,
    NGX_PINAUD_UNAUTHENTICATED,
    NGX_PINAUD_FORBIDDEN,
    NGX_PINAUD_UNMATCHED,
    NGX_PINAUD_OVER_QUOTA,
    NGX_PINAUD_NOT_SENT,
    NGX_PINAUD_UNKNOWN,
    NGX_PINAUD_NO_CREDENTIAL,
    NGX_PINAUD_STORE_DOWN,
    NGX_PINAUD_ABANDONED,                  /* the client left before it was
                                              sent */
    NGX_PINAUD_ERROR,
    NGX_PINAUD_OUTCOMES
} ngx_pinaud_outcome_e;


enum {
    NGX_PINAUD_NORMALIZE_DOCUMENTED = 0,
    NGX_PINAUD_NORMALIZE_LENIENT
};

enum {
    NGX_PINAUD_UNKNOWN_REJECT = 0,
    NGX_PINAUD_UNKNOWN_FORWARD
};

enum {
    NGX_PINAUD_PASSTHROUGH_OFF = 0,
    NGX_PINAUD_PASSTHROUGH_AUDIENCES,
    NGX_PINAUD_PASSTHROUGH_ON
};

enum {
    NGX_PINAUD_STATUS_OFF = 0,
    NGX_PINAUD_STATUS_JSON,
    NGX_PINAUD_STATUS_PROMETHEUS,
    NGX_PINAUD_STATUS_HEALTH
};


typedef struct ngx_pinaud_cache_s     ngx_pinaud_cache_t;
typedef struct ngx_pinaud_policy_s    ngx_pinaud_policy_t;
typedef struct ngx_pinaud_zone_s      ngx_pinaud_zone_t;
typedef struct ngx_pinaud_record_s    ngx_pinaud_record_t;
typedef struct ngx_pinaud_turn_s      ngx_pinaud_turn_t;
typedef struct ngx_pinaud_renewal_s   ngx_pinaud_renewal_t;
typedef struct ngx_pinaud_renewals_s  ngx_pinaud_renewals_t;
typedef struct ngx_pinaud_refunds_s   ngx_pinaud_refunds_t;


typedef struct {
    u_char                        sha1[40];      /* in hex, as EVALSHA's */
    const char                   *text;
    size_t                        text_len;
} ngx_pinaud_script_t;


/* What a worker has for itself; made when it starts. */

typedef struct {
    ngx_pinaud_redis_t           *redis;
    ngx_pinaud_cache_t           *policies;
    ngx_pinaud_renewals_t        *renewals;
    ngx_pinaud_refunds_t         *refunds;
    ngx_pinaud_cache_t           *callers; /* whose a team key is */
    pinaud_hasher_t              *hasher;  /* of team keys */
    ngx_uint_t                    strangers;     /* keys never seen before that
                                              were asked for, */
    ngx_msec_t                    strangers_since;   /* since then */
    ngx_queue_t                   asks;    /* to be sent this turn */
    ngx_event_t                   send;
    ngx_queue_t                   refusals;      /* put off: see turn */
    ngx_uint_t                    refused; /* in this turn of the event loop */
    ngx_event_t                   refuse;
    void                         *scratch; /* for checks of bodies */
    size_t                        scratch_len;
    uint64_t                      key[2];  /* of the names' hash */
    u_char                        random[1024];  /* for requests' ids */
    size_t                        used;    /* of them */
} ngx_pinaud_worker_t;


typedef struct {
    ngx_http_upstream_srv_conf_t *upstream;
    ngx_http_upstream_init_peer_pt  init;
} ngx_pinaud_gated_t;


typedef struct {
    ngx_array_t                  *redis;   /* of ngx_str_t: the words */
    ngx_str_t                     redis_trusted_certificate;
    ngx_str_t                     redis_certificate;
    ngx_str_t                     redis_certificate_key;
    ngx_str_t                     redis_ssl_name;
    ngx_str_t                     redis_password_file;
    ngx_str_t                     redis_sentinel_password_file;
    ngx_pinaud_redis_conf_t       store;

    ngx_str_t                     seal_key_file;
    pinaud_keyring_t             *ring;

    size_t                        zone_size;
    ngx_shm_zone_t               *zone;

    ngx_int_t                     outage_allowance;
    ngx_shm_zone_t               *outage;  /* NULL: no allowance */

    ngx_pinaud_script_t           admit;
    ngx_pinaud_script_t           refund;
    ngx_pinaud_script_t           cooldown;
    ngx_pinaud_script_t           lease;

    ngx_array_t                   gated;   /* of ngx_pinaud_gated_t, sorted */
    ngx_int_t                     request_id_index;
    ngx_pinaud_worker_t          *worker;  /* NULL in the master */
    unsigned                      enabled:1;     /* in some location */
    unsigned                      status:1;      /* likewise */
} ngx_pinaud_main_conf_t;


typedef struct {
    ngx_flag_t                    enable;
    ngx_flag_t                    retry;
    ngx_http_complex_value_t     *report;
    ngx_http_complex_value_t     *team;
    ngx_http_complex_value_t     *team_key;
    ngx_uint_t                    normalize;
    ngx_uint_t                    unknown_members;
    ngx_uint_t                    passthrough;
    ngx_msec_t                    quota_wait;
    ngx_msec_t                    refresh_wait;
    ngx_uint_t                    status;
    ngx_msec_t                    idempotency;
    ngx_uint_t                    local;   /* proxy_pass stays on this host */
} ngx_pinaud_loc_conf_t;


/* One limit of one bucket, as an admission tells it. */

typedef struct {
    u_char                        bucket;  /* w, c, a, t, p: see admit.lua */
    unsigned                      violated:1;
    ngx_uint_t                    n;
    ngx_uint_t                    window;  /* s */
    ngx_uint_t                    remaining;
    ngx_msec_t                    reset;   /* until it has more, ms */
} ngx_pinaud_limit_t;


typedef enum {
    NGX_PINAUD_ADMITTED = 0,
    NGX_PINAUD_REFUSED_QUOTA,
    NGX_PINAUD_REFUSED_NO_CREDENTIAL,
    NGX_PINAUD_REFUSED_EXPIRED,
    NGX_PINAUD_REFUSED_LATE,
    NGX_PINAUD_REFUSED_MOVED,
    NGX_PINAUD_REFUSED_UNREADABLE,         /* the token does not open */
    NGX_PINAUD_REFUSED_REVOKED,            /* Pinterest refused the newest */
    NGX_PINAUD_REFUSED_FORBIDDEN,
    NGX_PINAUD_REFUSED_CALLER,             /* no such team key */
    NGX_PINAUD_REFUSED_STORE
} ngx_pinaud_verdict_e;


/* What admit.lua charges: the order of a policy's commands. */

typedef enum {
    NGX_PINAUD_CHARGE_WRITE = 0,
    NGX_PINAUD_PEEK_WRITE,
    NGX_PINAUD_CHARGE_READ,
    NGX_PINAUD_REPORT_WRITE,               /* charged within quota; over it */
    NGX_PINAUD_REPORT_READ,                /* there is a token, too */
    NGX_PINAUD_MODES
} ngx_pinaud_mode_e;


/* Where a request is; see the request's handler. */

typedef enum {
    NGX_PINAUD_STAGE_MATCH = 0,
    NGX_PINAUD_STAGE_BODY,                 /* being read */
    NGX_PINAUD_STAGE_CHECK,
    NGX_PINAUD_STAGE_CALLER,               /* whose its team key is */
    NGX_PINAUD_STAGE_ADMIT,                /* waiting for Redis */
    NGX_PINAUD_STAGE_RENEW,                /* waiting for a newer token */
    NGX_PINAUD_STAGE_GO                    /* admitted: on to proxy_pass */
} ngx_pinaud_stage_e;


#define NGX_PINAUD_SEALED_MAX    (8192 + PINAUD_SEAL_OVERHEAD)

#define NGX_PINAUD_ID_LEN        32        /* of nginx's $request_id */
#define NGX_PINAUD_DEADLINE_LEN  13        /* digits of ms since 1970 */

/* A call of admit.lua, with the places of what differs from call to call. */

typedef struct {
    u_char                       *data;
    size_t                        len;
    size_t                        deadline;
    size_t                        id;
    size_t                        count;
} ngx_pinaud_command_t;


#define NGX_PINAUD_BATCH         16        /* requests that ask at once */
#define NGX_PINAUD_COUNT_LEN     2         /* digits of their number */

/* What was charged: enough to give it back. */

typedef struct {
    ngx_pinaud_mode_e             mode;
    ngx_uint_t                    buckets; /* bits, in the order of the keys */
    int64_t                       at;      /* ms of Redis's time */
    u_char                        id[NGX_PINAUD_ID_LEN];
    unsigned                      retried:1;     /* the second of its request */
} ngx_pinaud_charge_t;


/*
 * A request's record: lives in the request's pool from the match on, and is
 * found again after nginx clears the module's context on a redirect.
 */

struct ngx_pinaud_record_s {
    ngx_http_request_t           *request;
    ngx_pinaud_stage_e            stage;

    pinaud_path_e                 kind;
    ngx_pinaud_operation_e        operation;
    ngx_str_t                     path;    /* what Pinterest is to see, with
                                              its query; in unparsed_uri */
    ngx_str_t                     method;
    ngx_str_t                     account;
    ngx_str_t                     team;
    ngx_str_t                     team_key;
    u_char                        team_key_hash[PINAUD_TEAM_KEY_HASH];
    ngx_msec_t                    identified_at; /* when its key was read */
    ngx_str_t                     request_id;

    /* the body */
    pinaud_audience_type_e        type;
    ngx_uint_t                    nedits;
    ngx_uint_t                    nerrors;
    ngx_str_t                     edits;   /* the field's value */
    ngx_str_t                     body;    /* what is to be forwarded */

    /* admission */
    ngx_pinaud_policy_t          *policy;
    struct ngx_pinaud_ask_s      *ask;     /* under way */
    ngx_uint_t                    asker;   /* its place in it */
    ngx_pinaud_waiter_t           waiter;
    ngx_uint_t                    tries;
    ngx_msec_t                    arrived; /* when it wanted admission first */
    ngx_msec_t                    asked;   /* when, for the deadline */
    ngx_msec_t                    patience;      /* of the request's timer */
    ngx_pinaud_turn_t            *turn;    /* it is in line for, or probes */
    ngx_queue_t                   line;
    ngx_uint_t                    took;    /* us, all of the admission */
    uint64_t                      began;   /* us */
    ngx_pinaud_verdict_e          verdict;
    ngx_pinaud_charge_t           charge;
    uint64_t                      version; /* of the token */
    uint64_t                      version_sent;  /* of the last one sent */
    ngx_str_t                     refused_by;    /* credential whose token
                                                    Pinterest refused */
    ngx_pinaud_renewal_t         *renewal; /* it waits for */
    ngx_msec_t                    renewing;      /* since when */
    ngx_msec_t                    refresh_wait;  /* of the first location */
    ngx_pinaud_limit_t            limits[NGX_PINAUD_MAX_POLICIES];
    ngx_uint_t                    nlimits;
    ngx_buf_t                    *token;   /* "Authorization: Bearer ..." */
    ngx_uint_t                    lease;   /* the unit's place: see outage */
    ngx_uint_t                    lease_serial;
    ngx_uint_t                    lease_second;

    /* the answer */
    ngx_pinaud_outcome_e          outcome;
    ngx_pinaud_outcome_e          would_refuse;  /* told, not enforced;
                                                    FORWARDED: nothing */
    ngx_uint_t                    retry_after;   /* s */
    ngx_uint_t                    http_version;  /* the client's */
    ngx_uint_t                    attempts;      /* elements of upstream_states
                                                    that are of one before */
    ngx_str_t                     problem; /* body that replaces another's */
    void                        (*finalize)(ngx_http_request_t *r,
                                      ngx_int_t rc);
    ngx_chain_t                  *held_bufs;     /* Pinterest's answer so far */
    ngx_chain_t                 **held_last;
    off_t                         held_size;

    unsigned                      identified:1;  /* its team key was looked
                                                    up: team, or verdict */
    unsigned                      dry_run:1;
    unsigned                      report:1;      /* verdicts on body and quota
                                                    are not enforced */
    unsigned                      create:1;      /* its body is checked */
    unsigned                      write:1;       /* it, or another one whose
                                                    body is not looked at */
    unsigned                      query:1;       /* the path has one */
    unsigned                      waiting:1;     /* in a queue */
    unsigned                      lined:1;       /* in line for its turn */
    unsigned                      put_off:1;     /* or for its refusal */
    unsigned                      remembered:1;  /* refused from memory */
    unsigned                      answered:1;    /* verdict is there */
    unsigned                      charged:1;     /* and not given back */
    unsigned                      leased:1;      /* it spends a unit */
    unsigned                      armed:1;       /* the gate may open once */
    unsigned                      sent:1;        /* it opened */
    unsigned                      refused:1;     /* Pinterest's 401 came */
    unsigned                      retried:1;     /* after it */
    unsigned                      own:1;         /* the answer is ours */
    unsigned                      told:1;        /* outcome is final */
    unsigned                      should_retry:1;
    unsigned                      unattended:1;  /* a person must act */
    unsigned                      replace:1;     /* problem is to be sent */
    unsigned                      replaced:1;    /* it was sent */
    unsigned                      held:1;        /* until the answer's end */
};


extern ngx_module_t  ngx_pinaud_module;


/* request: the life of a request */

ngx_int_t ngx_pinaud_request_handler(ngx_http_request_t *r);
ngx_int_t ngx_pinaud_log_handler(ngx_http_request_t *r);

/* The record of a request, also after a redirect; NULL where it has none. */
ngx_pinaud_record_t *ngx_pinaud_record(ngx_http_request_t *r);

/* Makes a record, to be kept until the request's pool is destroyed. */
ngx_pinaud_record_t *ngx_pinaud_record_create(ngx_http_request_t *r);

/* The admission's verdict is there: goes on with the request. */
void ngx_pinaud_request_answered(ngx_pinaud_record_t *record);

/*
 * Waits in the phase for ngx_pinaud_request_answered(), for record->patience;
 * what is to be returned.
 */
ngx_int_t ngx_pinaud_request_wait(ngx_http_request_t *r,
    ngx_pinaud_record_t *record);

/* Sets for how long a request waits from now, also while it does. */
void ngx_pinaud_request_patience(ngx_pinaud_record_t *record,
    ngx_msec_t patience);

/* A request in line has its turn: asks for admission anew. */
void ngx_pinaud_request_ask_again(ngx_pinaud_record_t *record);

/* The newer token that it waits for is there: likewise. */
void ngx_pinaud_request_renewed(ngx_pinaud_record_t *record);

/*
 * nginx's $request_id, as it is anywhere else in the request. NGX_ERROR: no
 * memory or no random bytes.
 */
ngx_int_t ngx_pinaud_request_id(ngx_http_request_t *r, ngx_str_t *id);

/* A monotonic clock, in microseconds. */
uint64_t ngx_pinaud_usec(void);


/* match: what is decided before the body is asked for */

/* Reads the call from the request's raw target into the record. */
void ngx_pinaud_match_path(ngx_pinaud_record_t *record);

/*
 * NGX_DECLINED: the body may be read. Else a refusal was sent, and the result
 * ends the request.
 */
ngx_int_t ngx_pinaud_match(ngx_pinaud_record_t *record);

/*
 * Its part for writes: the fields, which for other writes than creates may
 * tell another type. The result is as above.
 */
ngx_int_t ngx_pinaud_match_fields(ngx_pinaud_record_t *record);


/* body: collect, check, replace */

/*
 * Checks a create's body. NGX_OK: record->body is what is to be forwarded.
 * NGX_DECLINED: the verdict, which lives in the request's pool, has errors;
 * record->body is as it came. NGX_ERROR: no memory, or the body's temporary
 * file can't be read.
 */
ngx_int_t ngx_pinaud_body_check(ngx_pinaud_record_t *record,
    pinaud_audience_verdict_t **verdict);

/* Makes record->body what proxy_pass sends; empty: none. */
ngx_int_t ngx_pinaud_body_replace(ngx_pinaud_record_t *record);


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


ngx_pinaud_cache_t *ngx_pinaud_cache_create(ngx_pool_t *pool,
    const ngx_pinaud_cache_kind_t *kind, ngx_pinaud_main_conf_t *pmcf);
void ngx_pinaud_cache_destroy(ngx_pinaud_cache_t *cache);

/* What the cache was made with. */
ngx_pinaud_main_conf_t *ngx_pinaud_cache_conf(ngx_pinaud_cached_t *entry);

/*
 * The entry of a key, as it is known or empty, with a reference more. Not
 * fresh: ngx_pinaud_cache_ask() brings it. NULL: no memory.
 */
ngx_pinaud_cached_t *ngx_pinaud_cache_get(ngx_pinaud_cache_t *cache,
    ngx_str_t *key);

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
    unsigned                      split:1; /* the account has reserves */
};

extern const ngx_pinaud_cache_kind_t  ngx_pinaud_policy_kind;

/*
 * The policy for an account and a team, with a reference more. Not fresh:
 * ngx_pinaud_policy_ask() brings it. NULL: no memory.
 */
ngx_pinaud_policy_t *ngx_pinaud_policy_get(ngx_pinaud_cache_t *policies,
    ngx_str_t *account, ngx_str_t *team);

/* Whose policy it is. */
void ngx_pinaud_policy_name(ngx_pinaud_policy_t *policy, ngx_str_t *account,
    ngx_str_t *team);

void ngx_pinaud_policy_release(ngx_pinaud_policy_t *policy);
void ngx_pinaud_policy_free(ngx_pinaud_cached_t *cached);

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

/*
 * Asks for admission. NGX_OK: record->verdict is there. NGX_AGAIN: it comes
 * by ngx_pinaud_request_answered(), at the latest when the caller's timer
 * calls ngx_pinaud_admission_cancel().
 */
ngx_int_t ngx_pinaud_admission_ask(ngx_pinaud_record_t *record);


/* Stops waiting; a charge that a late reply tells of is given back. */
void ngx_pinaud_admission_cancel(ngx_pinaud_record_t *record);

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


/* refund */

/* Makes a worker ready to give back; NULL: no memory. */
ngx_pinaud_refunds_t *ngx_pinaud_refunds_create(ngx_pinaud_main_conf_t *pmcf,
    ngx_pool_t *pool, ngx_log_t *log);

/* Counts those that are kept as lost, when the connection is closed. */
void ngx_pinaud_refunds_destroy(ngx_pinaud_refunds_t *refunds);

/*
 * Gives a charge back, now or when Redis can be reached. What can't be given
 * back is counted; the charge stays, which lets nothing extra through.
 */
void ngx_pinaud_refund(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, ngx_pinaud_charge_t *charge);


/* report: verdicts that are told and not enforced */

/* Reads pinaud_report into record->report, when the team is known. */
ngx_int_t ngx_pinaud_report_init(ngx_pinaud_record_t *record);

/* Tells what a body, or a request over quota, would be refused for. */
void ngx_pinaud_report_body(ngx_pinaud_record_t *record,
    pinaud_audience_verdict_t *verdict);
void ngx_pinaud_report_quota(ngx_pinaud_record_t *record);


/* gate: the token goes on the wire, and nothing unchecked does */

ngx_int_t ngx_pinaud_gate_init(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf);


/* answer: refusals */

/* Sends a problem of our own; returns what finalizes the request. */
ngx_int_t ngx_pinaud_refuse(ngx_pinaud_record_t *record, pinaud_problem_e id,
    const char *detail, pinaud_audience_verdict_t *verdict);

/* Sends a verdict of the admission other than NGX_PINAUD_ADMITTED. */
ngx_int_t ngx_pinaud_refuse_admission(ngx_pinaud_record_t *record);

/* What a dry run would have forwarded. */
ngx_int_t ngx_pinaud_answer_dry_run(ngx_pinaud_record_t *record);

/* Prepares record->problem, with status, type and length of the answer. */
ngx_int_t ngx_pinaud_answer_replace(ngx_pinaud_record_t *record,
    pinaud_problem_e id, ngx_uint_t status, const char *detail);


/*
 * accept: whether the client's Accept names application/json and nothing that
 * admits application/problem+json.
 */
ngx_uint_t ngx_pinaud_accept_json(ngx_http_request_t *r);


/* walk: over nginx's lists of fields */

typedef struct {
    ngx_list_part_t              *part;
    ngx_uint_t                    i;
} ngx_pinaud_walk_t;

void ngx_pinaud_walk(ngx_pinaud_walk_t *walk, ngx_list_t *fields);

/* The next field; NULL at the end. */
ngx_table_elt_t *ngx_pinaud_walk_next(ngx_pinaud_walk_t *walk);

/* Whether a field has this name, in any case of letters. */
ngx_uint_t ngx_pinaud_walk_is(ngx_table_elt_t *h, const char *name,
    size_t len);


/* fields: of the response */

/* Adds what every answer of an enabled location carries. */
ngx_int_t ngx_pinaud_fields_add(ngx_pinaud_record_t *record);

/* One field; the value must live as long as the request. */
ngx_int_t ngx_pinaud_field(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/*
 * A number's digits to "to"; returns their end. Several of these are in each
 * answer, and nginx's own formatting costs ten times as much.
 */
u_char *ngx_pinaud_digits(u_char *to, uint64_t n);

/* A limit's name, "account-60s", to "to"; returns its end. */
u_char *ngx_pinaud_limit_name(u_char *to, ngx_pinaud_limit_t *limit);
#define NGX_PINAUD_LIMIT_NAME_MAX  32

/* The limit that binds first; NULL where none is known. */
ngx_pinaud_limit_t *ngx_pinaud_limit_tightest(ngx_pinaud_record_t *record);


/* upstream: what Pinterest answered, and what nginx itself did */

void ngx_pinaud_upstream_init(void);

/* The request is being sent: learns of the end of its upstream. */
void ngx_pinaud_upstream_watch(ngx_pinaud_record_t *record);

/* At the request's end: makes the outcome final. */
void ngx_pinaud_upstream_settle(ngx_pinaud_record_t *record);

/* Whether any byte of it, of the last attempt, may have reached Pinterest. */
ngx_uint_t ngx_pinaud_upstream_sent(ngx_pinaud_record_t *record);


/* cooldown: what Pinterest's rate-limit fields teach */

/* Reads the answer of a request that was sent. */
void ngx_pinaud_cooldown_learn(ngx_pinaud_record_t *record);


/* variables */

ngx_int_t ngx_pinaud_variables_add(ngx_conf_t *cf);


/* zone: counters that all workers share and that survive a reload */

#define NGX_PINAUD_BUCKETS  11             /* of the histogram, less +Inf */

/*
 * Makes pmcf->zone of pmcf->zone_size, to be called once a configuration. An
 * error is told.
 */
ngx_int_t ngx_pinaud_zone_add(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf);

ngx_pinaud_zone_t *ngx_pinaud_zone(ngx_pinaud_main_conf_t *pmcf);
void ngx_pinaud_zone_count(ngx_pinaud_zone_t *zone,
    ngx_pinaud_operation_e operation, ngx_pinaud_outcome_e outcome);
void ngx_pinaud_zone_would_refuse(ngx_pinaud_zone_t *zone,
    ngx_pinaud_outcome_e outcome);
void ngx_pinaud_zone_errors(ngx_pinaud_zone_t *zone,
    pinaud_audience_verdict_t *verdict);
void ngx_pinaud_zone_edits(ngx_pinaud_zone_t *zone,
    pinaud_audience_verdict_t *verdict);
void ngx_pinaud_zone_admission(ngx_pinaud_zone_t *zone, ngx_uint_t us);
void ngx_pinaud_zone_response(ngx_pinaud_zone_t *zone, ngx_uint_t status);
void ngx_pinaud_zone_store(ngx_pinaud_zone_t *zone, ngx_uint_t up);
void ngx_pinaud_zone_store_error(ngx_pinaud_zone_t *zone,
    const char *reason);

/* What is known of a credential; 0: nothing is. */

typedef enum {
    NGX_PINAUD_FACT_EXPIRES = 0,           /* the access token, s */
    NGX_PINAUD_FACT_REFRESH_EXPIRES,       /* the refresh token, s */
    NGX_PINAUD_FACT_STATE,                 /* ngx_pinaud_state_e */
    NGX_PINAUD_FACT_COOLDOWN,              /* when it ends, s */
    NGX_PINAUD_FACT_WRITES_WORKED,         /* the newest version that did */
    NGX_PINAUD_FACT_READS_WORKED,
    NGX_PINAUD_FACT_USED,                  /* the newest version used at all */
    NGX_PINAUD_FACT_USED_EXPIRES,          /* when it does, s */
    NGX_PINAUD_FACT_USED_AT,               /* first, in ms by Redis's clock */
    NGX_PINAUD_FACT_OLDER,                 /* 1 + the version that was told of */
    NGX_PINAUD_FACTS
} ngx_pinaud_fact_e;

void ngx_pinaud_zone_learn(ngx_pinaud_zone_t *zone, ngx_str_t *name,
    ngx_pinaud_fact_e fact, uint64_t value);
uint64_t ngx_pinaud_zone_fact(ngx_pinaud_zone_t *zone, ngx_str_t *name,
    ngx_pinaud_fact_e fact);

const char *ngx_pinaud_operation_name(ngx_pinaud_operation_e operation);
const char *ngx_pinaud_outcome_name(ngx_pinaud_outcome_e outcome);


/* status */

ngx_int_t ngx_pinaud_status_handler(ngx_http_request_t *r);


/* check: what "nginx -t" refuses in an enabled location */

char *ngx_pinaud_check_location(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_loc_conf_t *plcf);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_H_INCLUDED_ */
