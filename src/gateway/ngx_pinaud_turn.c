
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Turns. A refusal for quota tells until when another question is useless:
 * until then requests of that account and team are refused from memory, or
 * wait in line where pinaud_quota_wait lets them. Then one of them asks, the
 * first in line, and the others go by its answer: a flood of refused requests
 * costs Redis next to nothing, and nobody overtakes.
 */


#include "ngx_pinaud_turn.h"


#define NGX_PINAUD_TURN_MAX     1000       /* ms: how long memory is trusted */
#define NGX_PINAUD_TURN_SPREAD  1000       /* ms: after Pinterest's own limit */


static ngx_pinaud_turn_t *ngx_pinaud_turn_create(void);
static ngx_uint_t ngx_pinaud_turn_patient(ngx_pinaud_record_t *record);
static void ngx_pinaud_turn_remember(ngx_pinaud_turn_t *turn,
    ngx_pinaud_record_t *record);
static void ngx_pinaud_turn_clear_line(ngx_pinaud_turn_t *turn);
static void ngx_pinaud_turn_schedule(ngx_pinaud_turn_t *turn);
static void ngx_pinaud_turn_next(ngx_event_t *ev);


ngx_int_t
ngx_pinaud_turn_take(ngx_pinaud_record_t *record)
{
    ngx_pinaud_turn_t  *turn;

    turn = record->policy->turns[!record->write];

    if (turn == NULL || !turn->closed || record->turn || record->report) {
        return NGX_OK;
    }

    if (turn->probe == NULL && ngx_queue_empty(&turn->line)
        && (ngx_msec_int_t) (turn->until - ngx_current_msec) <= 0)
    {
        ngx_pinaud_turn_hold(turn, record);
        turn->probe = record;

        return NGX_OK;
    }

    /* while somebody asks, the answer is near and worth waiting for */

    if (ngx_pinaud_turn_patient(record) || turn->probe) {
        ngx_pinaud_turn_hold(turn, record);
        ngx_queue_insert_tail(&turn->line, &record->line);
        record->lined = 1;

        return NGX_AGAIN;
    }

    return ngx_pinaud_turn_refuse_soon(turn, record);
}


ngx_int_t
ngx_pinaud_turn_told(ngx_pinaud_record_t *record)
{
    ngx_uint_t           probe;
    ngx_pinaud_turn_t   *turn, **known;

    if (record->report) {

        /* it is not held back, and its token comes with the answer */

        return NGX_OK;
    }

    known = &record->policy->turns[!record->write];

    if (record->turn == NULL && *known == NULL
        && record->verdict == NGX_PINAUD_REFUSED_QUOTA)
    {
        *known = ngx_pinaud_turn_create();
    }

    turn = record->turn ? record->turn : *known;

    if (turn == NULL) {
        return NGX_OK;
    }

    probe = (turn->probe == record);

    if (record->verdict != NGX_PINAUD_REFUSED_QUOTA) {

        if (probe) {
            turn->closed = !ngx_queue_empty(&turn->line);
            ngx_pinaud_turn_leave(record);
        }

        return NGX_OK;
    }

    ngx_pinaud_turn_remember(turn, record);

    if (!ngx_pinaud_turn_patient(record)) {
        turn->refs++;
        ngx_pinaud_turn_leave(record);
        ngx_pinaud_turn_clear_line(turn);
        ngx_pinaud_turn_release(turn);

        return NGX_OK;
    }

    if (probe) {
        turn->probe = NULL;
        ngx_queue_insert_head(&turn->line, &record->line);

    } else {
        ngx_pinaud_turn_hold(turn, record);
        ngx_queue_insert_tail(&turn->line, &record->line);
    }

    record->lined = 1;

    ngx_pinaud_turn_clear_line(turn);

    return NGX_AGAIN;
}


void
ngx_pinaud_turn_leave(ngx_pinaud_record_t *record)
{
    ngx_pinaud_turn_t  *turn;

    turn = record->turn;

    if (turn == NULL) {
        return;
    }

    if (record->lined) {
        ngx_queue_remove(&record->line);
        record->lined = 0;
    }

    if (turn->probe == record) {
        turn->probe = NULL;
    }

    record->turn = NULL;

    ngx_pinaud_turn_schedule(turn);
    ngx_pinaud_turn_release(turn);
}


void
ngx_pinaud_turn_expire(ngx_pinaud_record_t *record)
{
    ngx_pinaud_turn_t  *turn;

    turn = record->turn;

    turn->refs++;
    ngx_pinaud_turn_leave(record);
    ngx_pinaud_turn_refuse(turn, record);
    ngx_pinaud_turn_release(turn);
}


void
ngx_pinaud_turn_reopen(ngx_pinaud_turn_t *turn)
{
    if (turn) {
        turn->until = ngx_current_msec;
        ngx_pinaud_turn_schedule(turn);
    }
}


void
ngx_pinaud_turn_release(ngx_pinaud_turn_t *turn)
{
    if (turn == NULL || --turn->refs) {
        return;
    }

    if (turn->event.timer_set) {
        ngx_del_timer(&turn->event);
    }

    if (turn->event.posted) {
        ngx_delete_posted_event(&turn->event);
    }

    ngx_pinaud_turn_forget_text(turn);
    ngx_free(turn);
}


static ngx_pinaud_turn_t *
ngx_pinaud_turn_create(void)
{
    ngx_pinaud_turn_t  *turn;

    turn = ngx_calloc(sizeof(ngx_pinaud_turn_t), ngx_cycle->log);
    if (turn == NULL) {
        return NULL;
    }

    ngx_queue_init(&turn->line);

    turn->refs = 1;
    turn->log = ngx_cycle->log;
    turn->ident = -1;

    turn->event.handler = ngx_pinaud_turn_next;
    turn->event.data = turn;
    turn->event.log = ngx_cycle->log;

    /* who waits has a timer of his own, which a quitting worker waits for */

    turn->event.cancelable = 1;

    return turn;
}


void
ngx_pinaud_turn_hold(ngx_pinaud_turn_t *turn, ngx_pinaud_record_t *record)
{
    record->turn = turn;
    turn->refs++;
}


/* Whether a request may wait for its turn still, and how long. */

static ngx_uint_t
ngx_pinaud_turn_patient(ngx_pinaud_record_t *record)
{
    ngx_msec_t  waited;

    waited = ngx_current_msec - record->arrived;

    if (record->dry_run || waited >= record->quota_wait) {
        return 0;
    }

    ngx_pinaud_request_patience(record, record->quota_wait - waited);

    return 1;
}


static void
ngx_pinaud_turn_remember(ngx_pinaud_turn_t *turn, ngx_pinaud_record_t *record)
{
    ngx_uint_t           i;
    ngx_msec_t           wait;
    ngx_pinaud_limit_t  *limit;

    wait = 1;

    for (i = 0; i < record->nlimits; i++) {
        limit = &record->limits[i];
        turn->limits[i] = *limit;

        if (limit->violated) {
            wait = ngx_max(wait, limit->reset);
        }

        if (limit->bucket == NGX_PINAUD_COOLDOWN) {

            /* all gateways come back at this moment: not at once */

            wait += ngx_random() % NGX_PINAUD_TURN_SPREAD;
        }
    }

    ngx_pinaud_turn_forget_text(turn);

    turn->nlimits = record->nlimits;
    turn->told = ngx_current_msec;
    turn->until = ngx_current_msec + ngx_min(wait, NGX_PINAUD_TURN_MAX);
    turn->closed = 1;
}


/* Refuses those in line who may not wait longer; the others wait on. */

static void
ngx_pinaud_turn_clear_line(ngx_pinaud_turn_t *turn)
{
    ngx_queue_t           line, *q;
    ngx_pinaud_record_t  *record;

    ngx_queue_init(&line);

    if (!ngx_queue_empty(&turn->line)) {
        ngx_queue_add(&line, &turn->line);
        ngx_queue_init(&turn->line);
    }

    turn->refs++;

    while (!ngx_queue_empty(&line)) {
        q = ngx_queue_head(&line);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&turn->line, q);

        record = ngx_queue_data(q, ngx_pinaud_record_t, line);

        if (!ngx_pinaud_turn_patient(record)) {
            ngx_queue_remove(q);
            ngx_pinaud_turn_put_off(record);
        }
    }

    ngx_pinaud_turn_schedule(turn);
    ngx_pinaud_turn_release(turn);
}


static void
ngx_pinaud_turn_schedule(ngx_pinaud_turn_t *turn)
{
    ngx_msec_int_t  wait;

    if (turn->probe || ngx_queue_empty(&turn->line)) {
        return;
    }

    wait = turn->until - ngx_current_msec;

    if (wait > 0) {

        if (turn->event.timer_set) {
            ngx_del_timer(&turn->event);
        }

        ngx_add_timer(&turn->event, wait);

    } else if (!turn->event.posted) {

        /* not from here: each who fails at once would call the next */

        ngx_post_event(&turn->event, &ngx_posted_events);
    }
}


static void
ngx_pinaud_turn_next(ngx_event_t *ev)
{
    ngx_queue_t          *q;
    ngx_pinaud_turn_t    *turn;
    ngx_pinaud_record_t  *record;

    turn = ev->data;

    if (turn->probe || ngx_queue_empty(&turn->line)) {
        return;
    }

    if ((ngx_msec_int_t) (turn->until - ngx_current_msec) > 0) {
        ngx_pinaud_turn_schedule(turn);
        return;
    }

    q = ngx_queue_head(&turn->line);
    ngx_queue_remove(q);

    record = ngx_queue_data(q, ngx_pinaud_record_t, line);
    record->lined = 0;
    turn->probe = record;

    ngx_pinaud_request_ask_again(record);
}
