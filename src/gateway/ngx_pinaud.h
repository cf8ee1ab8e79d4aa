
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
typedef struct ngx_pinaud_keeper_s    ngx_pinaud_keeper_t;
typedef struct ngx_pinaud_kept_s      ngx_pinaud_kept_t;


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
    ngx_pinaud_keeper_t          *refunds;
    ngx_pinaud_keeper_t          *cooldowns;
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


#define NGX_PINAUD_COOLDOWN      'p'       /* the bucket of Pinterest's limit */

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
    ngx_msec_t                    refresh_wait;  /* of the first location, */
    ngx_msec_t                    quota_wait;    /* as this one is */
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
    unsigned                      older:1;       /* its token is, than one that
                                                    was used */
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


/* worker: what it has for itself */

/*
 * Makes pmcf->worker, and begins to connect to Redis; to be called in a worker
 * once. NGX_ERROR: no memory, or libcrypto failed, which is told.
 */
ngx_int_t ngx_pinaud_worker_create(ngx_cycle_t *cycle,
    ngx_pinaud_main_conf_t *pmcf);

/* At the worker's exit; of one that was made whole. */
void ngx_pinaud_worker_destroy(ngx_pinaud_worker_t *worker);


/* request: the life of a request */

/* The handler of the PRECONTENT phase. */
ngx_int_t ngx_pinaud_request_handler(ngx_http_request_t *r);

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
 * NGX_DECLINED: it has errors, by the verdict that is told, in the request's
 * pool; record->body is as it came. NGX_ERROR: no memory, or the body's
 * temporary file can't be read.
 */
ngx_int_t ngx_pinaud_body_check(ngx_pinaud_record_t *record,
    pinaud_audience_verdict_t **told);

/* Makes record->body what proxy_pass sends; empty: none. */
ngx_int_t ngx_pinaud_body_replace(ngx_pinaud_record_t *record);


/* variables */

/* Of $pinaud_*, before the configuration is read. NGX_ERROR: no memory. */
ngx_int_t ngx_pinaud_variables_add(ngx_conf_t *cf);


/* zone: counters that all workers share and that survive a reload */

#define NGX_PINAUD_BUCKETS  11             /* of the histogram, less +Inf */

/*
 * Makes pmcf->zone of pmcf->zone_size, to be called once a configuration. An
 * error is told.
 */
ngx_int_t ngx_pinaud_zone_add(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf);

ngx_pinaud_zone_t *ngx_pinaud_zone(ngx_pinaud_main_conf_t *pmcf);

/*
 * These count, in any process and without a lock; docs/metrics.md says what
 * each is. None of them fails: a name for which a table has no room is left
 * out.
 */
void ngx_pinaud_zone_count(ngx_pinaud_zone_t *zone,
    ngx_pinaud_operation_e operation, ngx_pinaud_outcome_e outcome);
void ngx_pinaud_zone_would_refuse(ngx_pinaud_zone_t *zone,
    ngx_pinaud_outcome_e outcome);
void ngx_pinaud_zone_errors(ngx_pinaud_zone_t *zone,
    pinaud_audience_verdict_t *verdict);
void ngx_pinaud_zone_edits(ngx_pinaud_zone_t *zone,
    pinaud_audience_verdict_t *verdict);
void ngx_pinaud_zone_admission(ngx_pinaud_zone_t *zone, ngx_uint_t us);

/* Pinterest's status; one that no status can be is left out. */
void ngx_pinaud_zone_response(ngx_pinaud_zone_t *zone, ngx_uint_t status);

/* The reason's first PINAUD_NAME_MAX bytes are its name. */
void ngx_pinaud_zone_store_error(ngx_pinaud_zone_t *zone,
    const char *reason);

/* Whether this worker can use Redis now. */
void ngx_pinaud_zone_store(ngx_pinaud_zone_t *zone, ngx_uint_t up);

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
    NGX_PINAUD_FACT_OLDER,                 /* the version that was told of, and
                                              one more */
    NGX_PINAUD_FACTS
} ngx_pinaud_fact_e;

/*
 * Of the credential of this name. The first time takes an entry, of one that
 * was not in use for long if there is no other; where there is none at all,
 * nothing is learned, and each fact is 0.
 */
void ngx_pinaud_zone_learn(ngx_pinaud_zone_t *zone, ngx_str_t *name,
    ngx_pinaud_fact_e fact, uint64_t value);
uint64_t ngx_pinaud_zone_fact(ngx_pinaud_zone_t *zone, ngx_str_t *name,
    ngx_pinaud_fact_e fact);

const char *ngx_pinaud_operation_name(ngx_pinaud_operation_e operation);
const char *ngx_pinaud_outcome_name(ngx_pinaud_outcome_e outcome);


/* status */

/* The content handler of a location with pinaud_status. */
ngx_int_t ngx_pinaud_status_handler(ngx_http_request_t *r);


/* check: what "nginx -t" refuses in an enabled location */

/*
 * To be called when what it inherits is merged, proxy's settings too, some of
 * which it sets. NGX_CONF_OK, or what is wrong is told.
 */
char *ngx_pinaud_check_location(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_loc_conf_t *plcf);


#pragma GCC visibility pop


#include "ngx_pinaud_admission.h"
#include "ngx_pinaud_answer.h"


#endif /* _NGX_PINAUD_H_INCLUDED_ */
