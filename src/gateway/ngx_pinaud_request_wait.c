
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How a request waits: for Redis, for its turn, for a newer token. Its client
 * may leave meanwhile, and the worker quit.
 */


#include "ngx_pinaud.h"


static void ngx_pinaud_request_timer(ngx_http_request_t *r);
static void ngx_pinaud_request_resume(ngx_http_request_t *r);


/*
 * The timer is the request's own and not cancelable, so that a worker that
 * quits waits for it (limit_req waits in the same way).
 */

ngx_int_t
ngx_pinaud_request_wait(ngx_http_request_t *r, ngx_pinaud_record_t *record)
{
    if (r->connection->read->ready) {
        ngx_post_event(r->connection->read, &ngx_posted_events);

    } else {
        if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_pinaud_request_timer;

    r->connection->write->delayed = 1;
    ngx_add_timer(r->connection->write, record->patience);

    return NGX_AGAIN;
}


static void
ngx_pinaud_request_timer(ngx_http_request_t *r)
{
    ngx_event_t          *wev;
    ngx_pinaud_record_t  *record;

    wev = r->connection->write;

    if (wev->delayed) {

        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        }

        return;
    }

    record = ngx_http_get_module_ctx(r, ngx_pinaud_module);

    if (record->stage == NGX_PINAUD_STAGE_RENEW) {
        ngx_pinaud_admission_cancel(record);
        record->answered = 1;
        ngx_pinaud_request_resume(r);
        return;
    }

    if (record->lined && (record->quota_wait || record->put_off)) {
        ngx_pinaud_turn_expire(record);
        ngx_pinaud_request_resume(r);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "pinaud: store did not answer in time");

    ngx_pinaud_admission_cancel(record);

    if (record->stage == NGX_PINAUD_STAGE_ADMIT) {
        (void) ngx_pinaud_admission_store_down(record, "timeout");

    } else {
        (void) ngx_pinaud_caller_failed(record, "timeout");
    }

    ngx_pinaud_request_resume(r);
}


void
ngx_pinaud_request_answered(ngx_pinaud_record_t *record)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = record->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_pinaud_request_resume(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_pinaud_request_resume(ngx_http_request_t *r)
{
    ngx_event_t  *wev;

    wev = r->connection->write;

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    wev->delayed = 0;

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
}


void
ngx_pinaud_request_patience(ngx_pinaud_record_t *record, ngx_msec_t patience)
{
    ngx_event_t  *wev;

    wev = record->request->connection->write;

    record->patience = patience;

    if (wev->delayed && wev->timer_set) {

        /* nginx leaves a timer alone that differs by little */

        ngx_del_timer(wev);
        ngx_add_timer(wev, patience);
    }
}
