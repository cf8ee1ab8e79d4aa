
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The client of Pinterest's token endpoint: its settings, beginning and end.
 */


#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <openssl/crypto.h>
#include "ctl_oauth_call.h"


#define CTL_OAUTH_URL      "https://api.pinterest.com/v5/oauth/token"
#define CTL_OAUTH_CONNECT  5000        /* ms */
#define CTL_OAUTH_TIMEOUT  30000


static int ctl_oauth_settings(ctl_t *ctl, ctl_oauth_t *oauth);
static int ctl_oauth_time(ctl_t *ctl, const char *option, uint64_t *ms);
static int ctl_oauth_url(ctl_t *ctl, ctl_oauth_t *oauth);
static int ctl_oauth_proxy(ctl_t *ctl, ctl_oauth_t *oauth);
static const char *ctl_oauth_part(ctl_t *ctl, CURLU *url, CURLUPart part);
static int ctl_oauth_loopback(const char *host);
static void *ctl_oauth_realloc(void *old, size_t size);


int
ctl_oauth_open(ctl_t *ctl, ctl_oauth_t **to)
{
    int           rc;
    ctl_oauth_t  *oauth;

    oauth = ctl_alloc(ctl, sizeof(ctl_oauth_t));

    /* a file of TLS's keys, which libcurl would write without being asked */

    unsetenv("SSLKEYLOGFILE");

    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, ctl_wipe_free,
                             ctl_oauth_realloc, strdup, calloc)
        != CURLE_OK)
    {
        return ctl_fail(CTL_REFUSED, "libcurl does not start");
    }

    rc = ctl_oauth_settings(ctl, oauth);

    if (rc != CTL_DONE) {
        curl_global_cleanup();
        return rc;
    }

    oauth->multi = curl_multi_init();

    if (oauth->multi == NULL) {
        curl_global_cleanup();
        return ctl_fail(CTL_REFUSED, "out of memory");
    }

    *to = oauth;

    return CTL_DONE;
}


void
ctl_oauth_close(ctl_oauth_t *oauth)
{
    ctl_call_t  *call, *next;

    for (call = oauth->calls; call; call = next) {
        next = call->next;

        (void) curl_multi_remove_handle(oauth->multi, call->easy);
        ctl_call_free(call);
    }

    (void) curl_multi_cleanup(oauth->multi);
    curl_global_cleanup();
}


/* A call may be followed by another one, which asks why it was refused. */

int
ctl_oauth_within(ctl_t *ctl, ctl_oauth_t *oauth, uint64_t ms)
{
    uint64_t  timeout;

    timeout = ms / 2;

    if (oauth->timeout <= timeout) {
        return 0;
    }

    if (ctl_setting(ctl, "timeout") != NULL || timeout == 0) {
        return -1;
    }

    oauth->timeout = timeout;

    if (oauth->connect_timeout > timeout) {
        oauth->connect_timeout = timeout;
    }

    return 0;
}


static int
ctl_oauth_settings(ctl_t *ctl, ctl_oauth_t *oauth)
{
    int  rc;

    oauth->connect_timeout = CTL_OAUTH_CONNECT;
    oauth->timeout = CTL_OAUTH_TIMEOUT;

    rc = ctl_oauth_time(ctl, "connect-timeout", &oauth->connect_timeout);

    if (rc == CTL_DONE) {
        rc = ctl_oauth_time(ctl, "timeout", &oauth->timeout);
    }

    if (rc == CTL_DONE) {
        rc = ctl_oauth_url(ctl, oauth);
    }

    if (rc == CTL_DONE) {
        rc = ctl_oauth_proxy(ctl, oauth);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    oauth->ca_file = ctl_setting(ctl, "ca-file");

    if (oauth->ca_file != NULL && access(oauth->ca_file, R_OK) != 0) {
        return ctl_fail(CTL_REFUSED, "--ca-file: %s can't be read",
                        oauth->ca_file);
    }

    return CTL_DONE;
}


static int
ctl_oauth_time(ctl_t *ctl, const char *option, uint64_t *ms)
{
    const char  *text;

    text = ctl_setting(ctl, option);

    return text ? ctl_duration(option, text, ms) : CTL_DONE;
}


/* Secrets go over TLS; without it no further than this machine. */

static int
ctl_oauth_url(ctl_t *ctl, ctl_oauth_t *oauth)
{
    int          good;
    CURLU       *url;
    const char  *host;

    oauth->url = ctl_setting(ctl, "token-url");

    if (oauth->url == NULL) {
        oauth->url = CTL_OAUTH_URL;
    }

    url = curl_url();

    good = (curl_url_set(url, CURLUPART_URL, oauth->url,
                         CURLU_DISALLOW_USER)
            == CURLUE_OK);

    oauth->scheme = good ? ctl_oauth_part(ctl, url, CURLUPART_SCHEME) : "";
    host = good ? ctl_oauth_part(ctl, url, CURLUPART_HOST) : "";

    curl_url_cleanup(url);

    if (strcmp(oauth->scheme, "https") == 0) {
        return CTL_DONE;
    }

    if (strcmp(oauth->scheme, "http") != 0) {
        return ctl_fail(CTL_USAGE, "--token-url is an https URL, without user "
                        "and password");
    }

    if (!ctl_oauth_loopback(host)) {
        return ctl_fail(CTL_USAGE, "--token-url: http is for this machine "
                        "only (127.0.0.1, [::1], localhost): secrets would "
                        "leave it in the clear. Use https");
    }

    return CTL_DONE;
}


/* "" is no proxy; NULL would let libcurl look into the environment. */

static int
ctl_oauth_proxy(ctl_t *ctl, ctl_oauth_t *oauth)
{
    int          good;
    CURLU       *url;
    const char  *scheme;

    oauth->proxy = ctl_setting(ctl, "proxy");

    if (oauth->proxy == NULL) {
        oauth->proxy = "";
        return CTL_DONE;
    }

    if (strcmp(oauth->scheme, "https") != 0) {
        return ctl_fail(CTL_USAGE, "--proxy: to an http --token-url there is "
                        "no way through a proxy, which would see secrets");
    }

    url = curl_url();

    good = (curl_url_set(url, CURLUPART_URL, oauth->proxy,
                         CURLU_DISALLOW_USER)
            == CURLUE_OK);

    scheme = good ? ctl_oauth_part(ctl, url, CURLUPART_SCHEME) : "";

    curl_url_cleanup(url);

    if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        return ctl_fail(CTL_USAGE, "--proxy is http://host:port, or https, "
                        "without user and password");
    }

    return CTL_DONE;
}


static const char *
ctl_oauth_part(ctl_t *ctl, CURLU *url, CURLUPart part)
{
    char        *text;
    const char  *copy;

    if (curl_url_get(url, part, &text, 0) != CURLUE_OK) {
        return "";
    }

    copy = ctl_copy(ctl, text, strlen(text));
    curl_free(text);

    return copy;
}


static int
ctl_oauth_loopback(const char *host)
{
    unsigned char  address[4];

    if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0) {
        return 1;
    }

    return inet_pton(AF_INET, host, address) == 1 && address[0] == 127;
}


/* libcurl's memory holds secrets, too: what it leaves behind is wiped. */

static void *
ctl_oauth_realloc(void *old, size_t size)
{
    void    *new;
    size_t   had;

    new = malloc(size);

    if (new == NULL || old == NULL) {
        return new;
    }

    had = malloc_usable_size(old);
    memcpy(new, old, had < size ? had : size);
    ctl_wipe_free(old);

    return new;
}
