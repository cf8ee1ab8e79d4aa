
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Refusals from memory. Floods of them come, and must not keep a worker from
 * others' requests: few are sent in each turn of the event loop, the rest is
 * put off, and their text is made once for all that differ in their id.
 */


#include "ngx_pinaud_turn.h"


#define NGX_PINAUD_TURN_REFUSE  4          /* in a turn of the event loop */

#define NGX_PINAUD_TURN_ID      "\"request_id\":\""


static void ngx_pinaud_turn_refusals(ngx_event_t *ev);


void
ngx_pinaud_turn_init(ngx_pinaud_worker_t *worker)
{
    ngx_queue_init(&worker->refusals);

    worker->refuse.handler = ngx_pinaud_turn_refusals;
    worker->refuse.data = worker;
    worker->refuse.log = ngx_cycle->log;
}


ngx_int_t
ngx_pinaud_turn_refuse_soon(ngx_pinaud_turn_t *turn,
    ngx_pinaud_record_t *record)
{
    ngx_pinaud_worker_t  *worker;

    worker = ngx_pinaud_main_conf(record)->worker;

    if (worker->refused < NGX_PINAUD_TURN_REFUSE
        && ngx_queue_empty(&worker->refusals))
    {
        if (worker->refused++ == 0) {
            ngx_post_event(&worker->refuse, &ngx_posted_next_events);
        }

        ngx_pinaud_turn_refuse(turn, record);

        return NGX_DECLINED;
    }

    ngx_pinaud_turn_hold(turn, record);
    ngx_pinaud_turn_put_off(record);

    return NGX_AGAIN;
}


void
ngx_pinaud_turn_put_off(ngx_pinaud_record_t *record)
{
    ngx_pinaud_worker_t  *worker;

    worker = ngx_pinaud_main_conf(record)->worker;

    ngx_queue_insert_tail(&worker->refusals, &record->line);
    record->lined = 1;
    record->put_off = 1;

    if (!worker->refuse.posted) {
        ngx_post_event(&worker->refuse, &ngx_posted_next_events);
    }
}


/* Another turn of the event loop, after what else there was to do in it. */

static void
ngx_pinaud_turn_refusals(ngx_event_t *ev)
{
    ngx_queue_t          *q;
    ngx_pinaud_record_t  *record;
    ngx_pinaud_worker_t  *worker;

    worker = ev->data;
    worker->refused = 0;

    while (worker->refused < NGX_PINAUD_TURN_REFUSE
           && !ngx_queue_empty(&worker->refusals))
    {
        worker->refused++;

        q = ngx_queue_head(&worker->refusals);
        record = ngx_queue_data(q, ngx_pinaud_record_t, line);

        ngx_pinaud_turn_expire(record);
        ngx_pinaud_request_answered(record);
    }

    if (worker->refused && !worker->refuse.posted) {
        ngx_post_event(&worker->refuse, &ngx_posted_next_events);
    }
}


void
ngx_pinaud_turn_refuse(ngx_pinaud_turn_t *turn, ngx_pinaud_record_t *record)
{
    ngx_uint_t           i;
    ngx_msec_t           age;
    ngx_pinaud_limit_t  *limit;

    age = ngx_current_msec - turn->told;

    record->nlimits = turn->nlimits;

    for (i = 0; i < turn->nlimits; i++) {
        limit = &record->limits[i];
        *limit = turn->limits[i];
        limit->reset = (limit->reset > age) ? limit->reset - age : 0;
    }

    record->verdict = NGX_PINAUD_REFUSED_QUOTA;
    record->answered = 1;
    record->remembered = 1;
}


ngx_int_t
ngx_pinaud_turn_text(ngx_pinaud_record_t *record, ngx_str_t *text)
{
    ngx_pinaud_turn_t  *turn;

    turn = record->policy->turns[!record->write];

    if (turn == NULL || turn->text.len == 0 || !record->remembered) {
        return NGX_DECLINED;
    }

    text->len = turn->text.len;
    text->data = ngx_pnalloc(record->request->pool, text->len);

    if (text->data == NULL) {
        return NGX_DECLINED;
    }

    ngx_memcpy(text->data, turn->text.data, text->len);
    ngx_memcpy(text->data + turn->id, record->request_id.data,
               NGX_PINAUD_ID_LEN);

    return NGX_OK;
}


void
ngx_pinaud_turn_keep_text(ngx_pinaud_record_t *record, ngx_str_t *text)
{
    u_char             *p;
    ngx_pinaud_turn_t  *turn;

    turn = record->policy->turns[!record->write];

    if (turn == NULL || turn->text.len || !record->remembered) {
        return;
    }

    p = ngx_strnstr(text->data, NGX_PINAUD_TURN_ID, text->len);

    turn->text.data = p ? ngx_alloc(text->len, ngx_cycle->log) : NULL;

    if (turn->text.data) {
        ngx_memcpy(turn->text.data, text->data, text->len);
        turn->text.len = text->len;
        turn->id = p + sizeof(NGX_PINAUD_TURN_ID) - 1 - text->data;
    }
}


void
ngx_pinaud_turn_forget_text(ngx_pinaud_turn_t *turn)
{
    if (turn->text.len) {
        ngx_free(turn->text.data);
        turn->text.len = 0;
    }
}
