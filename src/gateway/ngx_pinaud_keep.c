
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What Redis is told in any case. While it can't be reached it is kept, as
 * much as fits, and what has no answer is sent again, as long as that is of
 * use.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_KEEP_STEP  500          /* ms: between two attempts */
#define NGX_PINAUD_KEEP_EXIT  5000         /* ms: for what a worker that quits
                                              has */


struct ngx_pinaud_keeper_s {
    ngx_pinaud_main_conf_t     *conf;
    ngx_uint_t                  room;
    ngx_queue_t                 kept;      /* the oldest first */
    ngx_uint_t                  count;     /* kept, or under way */
    ngx_event_t                 event;
    ngx_connection_t            anchor;    /* debug lines of events read its
                                              descriptor */
    ngx_msec_t                  quits;     /* since then; 0: it does not */
};


static void ngx_pinaud_keep_try(ngx_pinaud_kept_t *kept);
static void ngx_pinaud_keep_queue(ngx_pinaud_kept_t *kept);
static void ngx_pinaud_keep_event(ngx_event_t *ev);
static void ngx_pinaud_keep_end(ngx_pinaud_kept_t *kept, redisReply *reply);


ngx_pinaud_keeper_t *
ngx_pinaud_keeper_create(ngx_pinaud_main_conf_t *pmcf, ngx_uint_t room,
    ngx_cycle_t *cycle)
{
    ngx_pinaud_keeper_t  *keeper;

    keeper = ngx_pcalloc(cycle->pool, sizeof(ngx_pinaud_keeper_t));
    if (keeper == NULL) {
        return NULL;
    }

    keeper->conf = pmcf;
    keeper->room = room;
    ngx_queue_init(&keeper->kept);

    keeper->anchor.fd = (ngx_socket_t) -1;
    keeper->anchor.data = keeper;
    keeper->event.handler = ngx_pinaud_keep_event;
    keeper->event.data = &keeper->anchor;
    keeper->event.log = cycle->log;

    return keeper;
}


void
ngx_pinaud_keeper_destroy(ngx_pinaud_keeper_t *keeper)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&keeper->kept)) {
        q = ngx_queue_head(&keeper->kept);
        ngx_queue_remove(q);

        ngx_pinaud_keep_end(ngx_queue_data(q, ngx_pinaud_kept_t, queue), NULL);
    }
}


void
ngx_pinaud_keep(ngx_pinaud_keeper_t *keeper, ngx_pinaud_kept_t *kept)
{
    kept->keeper = keeper;

    if (keeper->count++ == 0) {

        /* a worker that quits waits for them, and keeps the connection */

        ngx_pinaud_redis_want(keeper->conf->worker->redis);
        ngx_add_timer(&keeper->event, NGX_PINAUD_KEEP_STEP);
    }

    ngx_pinaud_keep_try(kept);
}


static void
ngx_pinaud_keep_try(ngx_pinaud_kept_t *kept)
{
    switch (kept->send(kept, kept->keeper->conf)) {

    case NGX_OK:
        break;

    case NGX_ABORT:
        ngx_pinaud_keep_end(kept, NULL);
        break;

    default:
        ngx_pinaud_keep_queue(kept);
    }
}


void
ngx_pinaud_keep_told(void *data, redisReply *reply)
{
    ngx_pinaud_kept_t *kept = data;

    if (reply && reply->type != REDIS_REPLY_ERROR) {
        ngx_pinaud_keep_end(kept, reply);
        return;
    }

    ngx_pinaud_keep_queue(kept);
}


/* Where there is no room the oldest, which counts for the shortest, goes. */

static void
ngx_pinaud_keep_queue(ngx_pinaud_kept_t *kept)
{
    ngx_queue_t          *q;
    ngx_pinaud_keeper_t  *keeper;

    keeper = kept->keeper;

    ngx_queue_insert_tail(&keeper->kept, &kept->queue);

    if (keeper->count > keeper->room) {
        q = ngx_queue_head(&keeper->kept);
        ngx_queue_remove(q);

        ngx_pinaud_keep_end(ngx_queue_data(q, ngx_pinaud_kept_t, queue), NULL);
    }
}


static void
ngx_pinaud_keep_event(ngx_event_t *ev)
{
    ngx_uint_t            n;
    ngx_queue_t          *q;
    ngx_connection_t     *anchor;
    ngx_pinaud_keeper_t  *keeper;

    anchor = ev->data;
    keeper = anchor->data;

    if (ngx_exiting && keeper->quits == 0) {
        keeper->quits = ngx_current_msec;
    }

    if (keeper->quits
        && ngx_current_msec - keeper->quits >= NGX_PINAUD_KEEP_EXIT)
    {
        ngx_pinaud_keeper_destroy(keeper);
        return;
    }

    ngx_add_timer(&keeper->event, NGX_PINAUD_KEEP_STEP);

    if (ngx_pinaud_redis_state(keeper->conf->worker->redis)
        != NGX_PINAUD_REDIS_READY)
    {
        return;
    }

    /* those that can't be sent now are behind these again */

    for (n = keeper->count; n && !ngx_queue_empty(&keeper->kept); n--) {
        q = ngx_queue_head(&keeper->kept);
        ngx_queue_remove(q);

        ngx_pinaud_keep_try(ngx_queue_data(q, ngx_pinaud_kept_t, queue));
    }
}


static void
ngx_pinaud_keep_end(ngx_pinaud_kept_t *kept, redisReply *reply)
{
    ngx_pinaud_keeper_t  *keeper;

    keeper = kept->keeper;

    if (--keeper->count == 0) {
        ngx_pinaud_redis_unwant(keeper->conf->worker->redis);

        if (keeper->event.timer_set) {
            ngx_del_timer(&keeper->event);
        }
    }

    kept->end(kept, keeper->conf, reply);
}
