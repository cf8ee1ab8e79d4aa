
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The inside of turns: what a refusal told, and who waits.
 */


#ifndef _NGX_PINAUD_TURN_H_INCLUDED_
#define _NGX_PINAUD_TURN_H_INCLUDED_


#include "ngx_pinaud.h"


#pragma GCC visibility push(hidden)


struct ngx_pinaud_turn_s {

    /* debug lines of the event read an ident behind three pointers */

    void                 *data;
    void                 *dummy;
    ngx_log_t            *log;
    ngx_int_t             ident;

    ngx_event_t           event;           /* the next in line may ask */
    ngx_queue_t           line;            /* of records, first come first */
    ngx_pinaud_record_t  *probe;           /* asks for all */
    ngx_uint_t            refs;            /* the policy's, and of records */

    ngx_msec_t            until;           /* no question before */
    ngx_msec_t            told;            /* when the limits were so */
    ngx_uint_t            nlimits;
    ngx_pinaud_limit_t    limits[NGX_PINAUD_MAX_POLICIES];
    ngx_str_t             text;            /* of a refusal for these */
    size_t                id;              /* where its request's is in that */

    unsigned              closed:1;        /* the last answer was a refusal */
};


/* Takes part in a turn, until ngx_pinaud_turn_leave(). */
void ngx_pinaud_turn_hold(ngx_pinaud_turn_t *turn,
    ngx_pinaud_record_t *record);

/* Makes it the refusal that Redis would tell, as far as it is remembered. */
void ngx_pinaud_turn_refuse(ngx_pinaud_turn_t *turn,
    ngx_pinaud_record_t *record);

/*
 * The same when others had their turn of the event loop. NGX_DECLINED: it is
 * done now; NGX_AGAIN: a little later, by ngx_pinaud_request_answered().
 */
ngx_int_t ngx_pinaud_turn_refuse_soon(ngx_pinaud_turn_t *turn,
    ngx_pinaud_record_t *record);

/* The same for one that waits already, in no line any more. */
void ngx_pinaud_turn_put_off(ngx_pinaud_record_t *record);

/* What was told is no more so. */
void ngx_pinaud_turn_forget_text(ngx_pinaud_turn_t *turn);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_TURN_H_INCLUDED_ */
