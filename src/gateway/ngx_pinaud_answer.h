
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What goes to Pinterest and what comes back: what the files of the gate and of
 * answers offer to the others.
 */


#ifndef _NGX_PINAUD_ANSWER_H_INCLUDED_
#define _NGX_PINAUD_ANSWER_H_INCLUDED_


#include "ngx_pinaud.h"


#pragma GCC visibility push(hidden)


/* report: verdicts that are told and not enforced */

/* Reads pinaud_report into record->report, when the team is known. */
ngx_int_t ngx_pinaud_report_init(ngx_pinaud_record_t *record);

/* Tells what a body, or a request over quota, would be refused for. */
void ngx_pinaud_report_body(ngx_pinaud_record_t *record,
    pinaud_audience_verdict_t *verdict);
void ngx_pinaud_report_quota(ngx_pinaud_record_t *record);


/* gate: the token goes on the wire, and nothing unchecked does */

/*
 * Stands in front of every upstream, when all of them are known: to be called
 * in postconfiguration, once. NGX_ERROR: no memory.
 */
ngx_int_t ngx_pinaud_gate_init(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf);

/*
 * Takes out of the header that nginx built, whose fields begin there, those
 * that must not be sent, and its empty line. NULL, or as static text why it is
 * not the header of the request that was checked.
 */
const char *ngx_pinaud_gate_fields(ngx_pinaud_record_t *record, ngx_buf_t *b,
    u_char *fields);


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

/* Begins; fields that are added while it goes on are found, too. */
void ngx_pinaud_walk(ngx_pinaud_walk_t *walk, ngx_list_t *fields);

/* The next field; NULL at the end. */
ngx_table_elt_t *ngx_pinaud_walk_next(ngx_pinaud_walk_t *walk);

/* Whether a text is this word, in any case of letters, of the same length. */
ngx_uint_t ngx_pinaud_alike(u_char *text, const char *word, size_t len);

/* Whether a field has this name, likewise. */
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


/* filter: how answers go through nginx's filters */

/* Links the filters; to be called in postconfiguration, once. */
void ngx_pinaud_filter_init(void);

/* The request is being sent: learns of the end of its upstream. */
void ngx_pinaud_filter_watch(ngx_pinaud_record_t *record);


/* upstream: what Pinterest answered, and what nginx itself did */

/*
 * Makes of Pinterest's answer the outcome. It goes through as it came, but for
 * cookies and what only the gateway may say; its 401, and what is no HTTP, are
 * replaced. NGX_ERROR: no memory.
 */
ngx_int_t ngx_pinaud_upstream_answer(ngx_pinaud_record_t *record);

/* The same of an answer of nginx itself; an error is replaced by a problem. */
ngx_int_t ngx_pinaud_upstream_error(ngx_pinaud_record_t *record);

/* Pinterest refused the token. */
void ngx_pinaud_upstream_401(ngx_pinaud_record_t *record);

/*
 * At the request's end: makes the outcome final, counts it, and gives back what
 * was charged for nothing.
 */
ngx_int_t ngx_pinaud_log_handler(ngx_http_request_t *r);


/* cooldown: what Pinterest's rate-limit fields teach */

/* Reads the answer of a request that was sent. */
void ngx_pinaud_cooldown_learn(ngx_pinaud_record_t *record);

/* A credential's is known to last so many seconds yet; 0: there is none. */
void ngx_pinaud_cooldown_known(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy, time_t left);

/* How long that is, as far as this gateway knows; 0: none. */
time_t ngx_pinaud_cooldown_left(ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_policy_t *policy);

#define NGX_PINAUD_COOLDOWN_MAX  64        /* a worker keeps, untold */


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_ANSWER_H_INCLUDED_ */
