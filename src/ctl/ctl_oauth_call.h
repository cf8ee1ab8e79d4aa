
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the files of the token endpoint's client share.
 */


#ifndef _CTL_OAUTH_CALL_H_INCLUDED_
#define _CTL_OAUTH_CALL_H_INCLUDED_


#include <curl/curl.h>
#include "ctl_oauth.h"


#define CTL_OAUTH_BODY_MAX  65536


typedef struct ctl_call_s  ctl_call_t;

struct ctl_oauth_s {
    CURLM                *multi;
    ctl_call_t           *calls;
    unsigned              n;

    const char           *url;
    const char           *scheme;
    const char           *ca_file;         /* NULL: the system's */
    const char           *proxy;           /* "": none */
    uint64_t              connect_timeout; /* ms */
    uint64_t              timeout;
};


struct ctl_call_s {
    ctl_call_t           *next;
    CURL                 *easy;
    struct curl_slist    *headers;
    void                 *data;
    uint64_t              deadline;        /* ms of the monotonic clock */

    char                 *form;
    size_t                form_len;
    size_t                sent;

    char                 *body;            /* CTL_OAUTH_BODY_MAX bytes */
    size_t                body_len;

    ctl_oauth_answer_t   *answer;

    unsigned              taken:1;         /* libcurl took of the form */
    unsigned              over:1;          /* the body is too large */
    unsigned              probe:1;
    unsigned              done:1;

    char                  error[CURL_ERROR_SIZE];
};


/* Takes the form, which is freed when it fails, too; form may be NULL. */
ctl_call_t *ctl_call_create(ctl_oauth_t *oauth, const char *client_id,
    const char *client_secret, char *form);
void ctl_call_free(ctl_call_t *call);

/* Prepares the call to be made once more with another form. */
int ctl_call_again(ctl_call_t *call, const char *form);

/* The status of HTTP, and the answer that came with it. */
unsigned ctl_call_status(ctl_call_t *call);
void ctl_call_read(ctl_call_t *call);

/* Why there is no answer. */
const char *ctl_call_error(const ctl_call_t *call, CURLcode rc);


#endif /* _CTL_OAUTH_CALL_H_INCLUDED_ */
