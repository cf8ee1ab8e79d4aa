
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * One call of the token endpoint as libcurl makes it.
 */


#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include "ctl_link.h"
#include "ctl_oauth_call.h"


static int ctl_call_setup(ctl_call_t *call, const ctl_oauth_t *oauth,
    const char *client_id, const char *client_secret);
static int ctl_call_transport(ctl_call_t *call, const ctl_oauth_t *oauth);
static int ctl_call_headers(ctl_call_t *call);
static void ctl_call_wipe(ctl_call_t *call);
static size_t ctl_call_send(char *to, size_t size, size_t n, void *data);
static size_t ctl_call_receive(char *from, size_t size, size_t n, void *data);
static unsigned ctl_call_retry_after(ctl_call_t *call);


/* Sets an option; all of them are known, so what fails is memory. */

#define ctl_call_set(call, option, value)                                     \
    (curl_easy_setopt((call)->easy, option, value) == CURLE_OK)


ctl_call_t *
ctl_call_create(ctl_oauth_t *oauth, const char *client_id,
    const char *client_secret, char *form)
{
    ctl_call_t  *call;

    call = calloc(1, sizeof(ctl_call_t));

    if (call == NULL) {
        if (form != NULL) {
            OPENSSL_cleanse(form, strlen(form));
            free(form);
        }

        return NULL;
    }

    call->form = form;
    call->form_len = form ? strlen(form) : 0;
    call->easy = curl_easy_init();
    call->answer = calloc(1, sizeof(ctl_oauth_answer_t));
    call->body = malloc(CTL_OAUTH_BODY_MAX);

    if (form == NULL || call->easy == NULL || call->answer == NULL
        || call->body == NULL
        || ctl_call_setup(call, oauth, client_id, client_secret) != 0)
    {
        ctl_call_free(call);
        return NULL;
    }

    return call;
}


static int
ctl_call_setup(ctl_call_t *call, const ctl_oauth_t *oauth,
    const char *client_id, const char *client_secret)
{
    if (!ctl_call_set(call, CURLOPT_PRIVATE, call)
        || !ctl_call_set(call, CURLOPT_ERRORBUFFER, call->error)
        || !ctl_call_set(call, CURLOPT_URL, oauth->url)
        || !ctl_call_set(call, CURLOPT_USERAGENT, "pinaudctl")
        || !ctl_call_set(call, CURLOPT_HTTPAUTH, CURLAUTH_BASIC)
        || !ctl_call_set(call, CURLOPT_USERNAME, client_id)
        || !ctl_call_set(call, CURLOPT_PASSWORD, client_secret)
        || !ctl_call_set(call, CURLOPT_WRITEFUNCTION, ctl_call_receive)
        || !ctl_call_set(call, CURLOPT_WRITEDATA, call)
        || ctl_call_headers(call) != 0)
    {
        return -1;
    }

    /* by a function and not from memory: it is asked once, see ctl_oauth.h */

    if (!ctl_call_set(call, CURLOPT_POST, 1L)
        || !ctl_call_set(call, CURLOPT_POSTFIELDSIZE, (long) call->form_len)
        || !ctl_call_set(call, CURLOPT_READFUNCTION, ctl_call_send)
        || !ctl_call_set(call, CURLOPT_READDATA, call))
    {
        return -1;
    }

    return ctl_call_transport(call, oauth);
}


/* HTTP/1.1 and one request a connection, so that nothing is sent again. */

static int
ctl_call_transport(ctl_call_t *call, const ctl_oauth_t *oauth)
{
    if (!ctl_call_set(call, CURLOPT_PROTOCOLS_STR, oauth->scheme)
        || !ctl_call_set(call, CURLOPT_HTTP_VERSION,
                         (long) CURL_HTTP_VERSION_1_1)
        || !ctl_call_set(call, CURLOPT_FRESH_CONNECT, 1L)
        || !ctl_call_set(call, CURLOPT_FORBID_REUSE, 1L)
        || !ctl_call_set(call, CURLOPT_FOLLOWLOCATION, 0L)
        || !ctl_call_set(call, CURLOPT_PROXY, oauth->proxy)
        || !ctl_call_set(call, CURLOPT_NOPROXY, "")
        || !ctl_call_set(call, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED)
        || !ctl_call_set(call, CURLOPT_NOSIGNAL, 1L)
        || !ctl_call_set(call, CURLOPT_QUICK_EXIT, 1L)
        || !ctl_call_set(call, CURLOPT_CONNECTTIMEOUT_MS,
                         (long) oauth->connect_timeout)
        || !ctl_call_set(call, CURLOPT_SSLVERSION,
                         (long) CURL_SSLVERSION_TLSv1_2)
        || !ctl_call_set(call, CURLOPT_SSL_VERIFYPEER, 1L)
        || !ctl_call_set(call, CURLOPT_SSL_VERIFYHOST, 2L))
    {
        return -1;
    }

    if (oauth->ca_file == NULL) {
        return 0;
    }

    /* the folder of the system's certificates would count beside the file */

    if (!ctl_call_set(call, CURLOPT_CAINFO, oauth->ca_file)
        || !ctl_call_set(call, CURLOPT_CAPATH, NULL)
        || !ctl_call_set(call, CURLOPT_PROXY_CAINFO, oauth->ca_file)
        || !ctl_call_set(call, CURLOPT_PROXY_CAPATH, NULL))
    {
        return -1;
    }

    return 0;
}


static int
ctl_call_headers(ctl_call_t *call)
{
    unsigned            i;
    struct curl_slist  *more;

    static const char  *const headers[] = {
        "Content-Type: application/x-www-form-urlencoded",
        "Accept: application/json",
        "Expect:",                     /* no 100-continue */
    };

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        more = curl_slist_append(call->headers, headers[i]);

        if (more == NULL) {
            return -1;
        }

        call->headers = more;
    }

    return ctl_call_set(call, CURLOPT_HTTPHEADER, call->headers) ? 0 : -1;
}


void
ctl_call_free(ctl_call_t *call)
{
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);

    if (call->answer != NULL) {
        ctl_oauth_answer_free(call->answer);
    }

    ctl_call_wipe(call);
    free(call->body);
    free(call);
}


static void
ctl_call_wipe(ctl_call_t *call)
{
    if (call->form != NULL) {
        OPENSSL_cleanse(call->form, call->form_len);
        free(call->form);
        call->form = NULL;
    }

    if (call->body != NULL) {
        OPENSSL_cleanse(call->body, CTL_OAUTH_BODY_MAX);
        call->body_len = 0;
    }
}


int
ctl_call_again(ctl_call_t *call, const char *form)
{
    ctl_call_wipe(call);

    call->form = strdup(form);
    call->form_len = strlen(form);
    call->sent = 0;
    call->over = 0;

    if (call->form == NULL
        || !ctl_call_set(call, CURLOPT_POSTFIELDSIZE, (long) call->form_len))
    {
        return -1;
    }

    return 0;
}


/*
 * Hands out the form once. There is no function to seek in it, so a request
 * that libcurl would like to send again fails.
 */

static size_t
ctl_call_send(char *to, size_t size, size_t n, void *data)
{
    size_t       len;
    ctl_call_t  *call;

    call = data;

    /*
     * This process may have been stopped before it came to send: by now
     * somebody else may spend the same token.
     */

    if (!call->taken && (uint64_t) ctl_clock() > call->deadline) {
        return CURL_READFUNC_ABORT;
    }

    call->taken = 1;

    len = call->form_len - call->sent;

    if (len > size * n) {
        len = size * n;
    }

    memcpy(to, call->form + call->sent, len);
    call->sent += len;

    return len;
}


static size_t
ctl_call_receive(char *from, size_t size, size_t n, void *data)
{
    ctl_call_t  *call;

    call = data;
    n *= size;

    if (n > CTL_OAUTH_BODY_MAX - call->body_len) {
        call->over = 1;
        return 0;
    }

    memcpy(call->body + call->body_len, from, n);
    call->body_len += n;

    return n;
}


unsigned
ctl_call_status(ctl_call_t *call)
{
    long  status;

    if (curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status)
        != CURLE_OK || status < 100 || status > 999)
    {
        return 0;
    }

    return (unsigned) status;
}


void
ctl_call_read(ctl_call_t *call)
{
    ctl_oauth_answer_read(call->answer, ctl_call_status(call), call->body,
                          call->body_len);

    if (call->answer->outcome == CTL_OAUTH_LATER) {
        call->answer->retry_after = ctl_call_retry_after(call);
    }
}


/* Retry-After, or what Pinterest says instead: both are seconds to go. */

static unsigned
ctl_call_retry_after(ctl_call_t *call)
{
    long                 reset;
    curl_off_t           seconds;
    struct curl_header  *header;

    if (curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &seconds)
        != CURLE_OK)
    {
        seconds = 0;
    }

    if (seconds <= 0
        && curl_easy_header(call->easy, "x-ratelimit-reset", 0, CURLH_HEADER,
                            -1, &header)
           == CURLHE_OK)
    {
        reset = strtol(header->value, NULL, 10);
        seconds = reset;
    }

    if (seconds <= 0) {
        return 0;
    }

    return seconds < CTL_RETRY_MAX ? (unsigned) seconds : CTL_RETRY_MAX;
}


const char *
ctl_call_error(const ctl_call_t *call, CURLcode rc)
{
    if (call->over) {
        return "the token endpoint answers with more than 64 KiB";
    }

    return call->error[0] != '\0' ? call->error : curl_easy_strerror(rc);
}
