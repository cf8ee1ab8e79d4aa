
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The client of Pinterest's token endpoint: calls and their ends.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <openssl/crypto.h>
#include "ctl_oauth_call.h"


static int ctl_oauth_begin(ctl_oauth_t *oauth, const char *client_id,
    const char *client_secret, char *form, void *data);
static ctl_oauth_answer_t *ctl_oauth_take(ctl_oauth_t *oauth, void **data);
static void ctl_oauth_run(ctl_oauth_t *oauth);
static void ctl_oauth_late(ctl_oauth_t *oauth);
static unsigned ctl_oauth_until(const ctl_oauth_t *oauth, uint64_t end);
static void ctl_oauth_ended(ctl_oauth_t *oauth, ctl_call_t *call,
    CURLcode rc);
static int ctl_oauth_probe(ctl_oauth_t *oauth, ctl_call_t *call);
static char *ctl_oauth_form(const char *first, const char *one,
    const char *second, const char *two);
static uint64_t ctl_oauth_now(void);


int
ctl_oauth_refresh(ctl_oauth_t *oauth, const char *client_id,
    const char *client_secret, const char *refresh, void *data)
{
    return ctl_oauth_begin(oauth, client_id, client_secret,
                           ctl_oauth_form("grant_type=refresh_token"
                                          "&refresh_token=", refresh, "", ""),
                           data);
}


int
ctl_oauth_exchange(ctl_oauth_t *oauth, const char *client_id,
    const char *client_secret, const char *code, const char *redirect_uri,
    void *data)
{
    return ctl_oauth_begin(oauth, client_id, client_secret,
                           ctl_oauth_form("grant_type=authorization_code"
                                          "&code=", code, "&redirect_uri=",
                                          redirect_uri),
                           data);
}


/* A form of two values, which is wiped by who frees it. */

static char *
ctl_oauth_form(const char *first, const char *one, const char *second,
    const char *two)
{
    char    *form, *p;
    size_t   size;

    size = strlen(first) + 3 * strlen(one) + strlen(second) + 3 * strlen(two)
           + 1;

    form = malloc(size);

    if (form == NULL) {
        return NULL;
    }

    p = form;
    p += strlen(strcpy(p, first));
    p = ctl_oauth_encode(p, one);
    p += strlen(strcpy(p, second));
    (void) ctl_oauth_encode(p, two);

    return form;
}


static int
ctl_oauth_begin(ctl_oauth_t *oauth, const char *client_id,
    const char *client_secret, char *form, void *data)
{
    ctl_call_t  *call;

    call = ctl_call_create(oauth, client_id, client_secret, form);

    if (call == NULL) {
        return -1;
    }

    if (curl_multi_add_handle(oauth->multi, call->easy) != CURLM_OK) {
        ctl_call_free(call);
        return -1;
    }

    call->data = data;
    call->deadline = ctl_oauth_now() + oauth->timeout;

    call->next = oauth->calls;
    oauth->calls = call;
    oauth->n++;

    return 0;
}


unsigned
ctl_oauth_calls(const ctl_oauth_t *oauth)
{
    return oauth->n;
}


ctl_oauth_answer_t *
ctl_oauth_wait(ctl_oauth_t *oauth, unsigned ms, int fd, void **data)
{
    uint64_t              end;
    ctl_oauth_answer_t   *answer;
    struct curl_waitfd    extra;

    end = ctl_oauth_now() + ms;

    for ( ;; ) {
        ctl_oauth_run(oauth);
        ctl_oauth_late(oauth);

        answer = ctl_oauth_take(oauth, data);

        if (answer != NULL || ctl_oauth_now() >= end) {
            return answer;
        }

        extra.fd = fd;
        extra.events = CURL_WAIT_POLLIN;
        extra.revents = 0;

        if (curl_multi_poll(oauth->multi, &extra, fd != -1,
                            (int) ctl_oauth_until(oauth, end), NULL)
            != CURLM_OK || extra.revents != 0)
        {
            return NULL;
        }
    }
}


static ctl_oauth_answer_t *
ctl_oauth_take(ctl_oauth_t *oauth, void **data)
{
    ctl_call_t           *call, **link;
    ctl_oauth_answer_t   *answer;

    for (link = &oauth->calls; *link; link = &(*link)->next) {
        call = *link;

        if (!call->done) {
            continue;
        }

        *link = call->next;
        oauth->n--;

        answer = call->answer;
        call->answer = NULL;
        *data = call->data;

        ctl_call_free(call);

        return answer;
    }

    return NULL;
}


static void
ctl_oauth_run(ctl_oauth_t *oauth)
{
    int          left, running;
    void        *call;
    CURLMsg     *message;
    CURLcode     rc;

    (void) curl_multi_perform(oauth->multi, &running);

    while ((message = curl_multi_info_read(oauth->multi, &left)) != NULL) {

        if (message->msg != CURLMSG_DONE) {
            continue;
        }

        /* the message is gone with the handle */

        rc = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);

        ctl_oauth_ended(oauth, call, rc);
    }
}


/*
 * Ends what is too late. This process may have been stopped while an answer
 * came: so what has come is read before a clock decides, whatever a libcurl
 * does first about timeouts of its own.
 */

static void
ctl_oauth_late(ctl_oauth_t *oauth)
{
    int          ready;
    uint64_t     now;
    ctl_call_t  *call;

    now = ctl_oauth_now();

    for (call = oauth->calls; call; call = call->next) {

        if (call->done || call->deadline > now) {
            continue;
        }

        ready = 0;

        if (curl_multi_poll(oauth->multi, NULL, 0, 0, &ready) == CURLM_OK
            && ready != 0)
        {
            ctl_oauth_run(oauth);
        }

        if (!call->done) {
            snprintf(call->error, CURL_ERROR_SIZE, "no answer in %llu ms",
                     (unsigned long long) oauth->timeout);
            ctl_oauth_ended(oauth, call, CURLE_OPERATION_TIMEDOUT);
        }
    }
}


/* How long may be waited at most, in ms: for a call's deadline at most. */

static unsigned
ctl_oauth_until(const ctl_oauth_t *oauth, uint64_t end)
{
    uint64_t           now;
    const ctl_call_t  *call;

    now = ctl_oauth_now();

    for (call = oauth->calls; call; call = call->next) {
        if (!call->done && call->deadline < end) {
            end = call->deadline;
        }
    }

    return end > now ? (unsigned) (end - now) : 0;
}


/*
 * What could be carried out is a request with its body. Where libcurl never
 * came to ask for the body nobody has it.
 */

static void
ctl_oauth_ended(ctl_oauth_t *oauth, ctl_call_t *call, CURLcode rc)
{
    ctl_oauth_answer_t  *answer;

    (void) curl_multi_remove_handle(oauth->multi, call->easy);

    answer = call->answer;

    if (call->probe) {
        ctl_oauth_answer_probed(answer, rc == CURLE_OK ? ctl_call_status(call)
                                                       : 0);
        call->done = 1;
        return;
    }

    if (rc == CURLE_OK) {
        ctl_call_read(call);

    } else {
        answer->outcome = CTL_OAUTH_UNKNOWN;
        ctl_oauth_answer_reason(answer, "%s", ctl_call_error(call, rc));
    }

    if (answer->outcome == CTL_OAUTH_UNKNOWN && !call->taken) {
        answer->outcome = CTL_OAUTH_NOT_SENT;
    }

    if (answer->outcome == CTL_OAUTH_UNTOLD) {

        if (ctl_oauth_probe(oauth, call) == 0) {
            return;
        }

        ctl_oauth_answer_probed(answer, 0);
    }

    call->done = 1;
}


/* The same client with a request that spends nothing. */

static int
ctl_oauth_probe(ctl_oauth_t *oauth, ctl_call_t *call)
{
    if (ctl_call_again(call, "grant_type=refresh_token") != 0
        || curl_multi_add_handle(oauth->multi, call->easy) != CURLM_OK)
    {
        return -1;
    }

    call->probe = 1;
    call->deadline = ctl_oauth_now() + oauth->timeout;

    return 0;
}


void
ctl_oauth_answer_free(ctl_oauth_answer_t *answer)
{
    ctl_oauth_answer_wipe(answer);
    free(answer);
}


static uint64_t
ctl_oauth_now(void)
{
    struct timespec  now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);

    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}
