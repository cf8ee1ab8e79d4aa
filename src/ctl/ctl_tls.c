
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * TLS to Redis. The server's certificate is always checked.
 */


#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include "ctl_link.h"


static int ctl_tls_files(SSL_CTX *ctx, const char *ca, const char *cert,
    const char *key, char *error);
static int ctl_tls_locked(char *buf, int size, int writing, void *locked);
static int ctl_tls_told(char *error, const char *what, const char *file);
static int ctl_tls_peer(ctl_link_t *link);
static int ctl_tls_asked(SSL *ssl, X509 **cert, EVP_PKEY **key);
static ssize_t ctl_tls_again(ctl_link_t *link, int n, short *events);
static int ctl_tls_failed(ctl_link_t *link, int error);
static int ctl_tls_refused(ctl_link_t *link);


int
ctl_tls_create(ctl_tls_t *tls, const char *ca, const char *cert,
    const char *key, const char *name, char *error)
{
    SSL_CTX  *ctx;

    memset(tls, 0, sizeof(ctl_tls_t));

    if (name != NULL) {
        if (strlen(name) >= sizeof(tls->name)) {
            snprintf(error, CTL_LINK_ERROR,
                     "--redis-server-name is 1 to 255 characters");
            return -1;
        }

        memcpy(tls->name, name, strlen(name));
    }

    ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL) {
        snprintf(error, CTL_LINK_ERROR, "OpenSSL makes no context");
        return -1;
    }

    tls->ctx = ctx;

    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_client_cert_cb(ctx, ctl_tls_asked);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                          | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

    return ctl_tls_files(ctx, ca, cert, key, error);
}


static int
ctl_tls_files(SSL_CTX *ctx, const char *ca, const char *cert, const char *key,
    char *error)
{
    int  locked, rc;

    if (ca != NULL) {
        if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1) {
            return ctl_tls_told(error, "--redis-ca-file", ca);
        }

    } else if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
        return ctl_tls_told(error, "the system's certificates", "");
    }

    if (cert == NULL) {
        return 0;
    }

    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        return ctl_tls_told(error, "--redis-cert-file", cert);
    }

    locked = 0;
    SSL_CTX_set_default_passwd_cb(ctx, ctl_tls_locked);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &locked);

    rc = SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM);

    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);

    if (rc == 1) {
        return 0;
    }

    if (locked) {
        snprintf(error, CTL_LINK_ERROR, "--redis-cert-key-file: %.120s: it is "
                 "encrypted, and nobody is asked for its password", key);
        ERR_clear_error();
        return -1;
    }

    return ctl_tls_told(error, "--redis-cert-key-file", key);
}


/* OpenSSL would ask for it on the terminal, or take it from stdin. */

static int
ctl_tls_locked(char *buf, int size, int writing, void *locked)
{
    (void) buf;
    (void) size;
    (void) writing;

    *(int *) locked = 1;

    return -1;
}


/* Of what OpenSSL says only whether there is such a file is clear to all. */

static int
ctl_tls_told(char *error, const char *what, const char *file)
{
    unsigned long   code, first;
    const char     *reason;

    first = ERR_peek_error();
    code = ERR_peek_last_error();

    reason = ERR_SYSTEM_ERROR(first) ? strerror(ERR_GET_REASON(first))
                                     : ERR_reason_error_string(code);

    snprintf(error, CTL_LINK_ERROR, "%s: %.120s: %s", what, file,
             reason ? reason : "cannot be used");
    ERR_clear_error();

    return -1;
}


void
ctl_tls_free(ctl_tls_t *tls)
{
    SSL_CTX_free(tls->ctx);
    tls->ctx = NULL;
}


int
ctl_tls_connect(ctl_link_t *link)
{
    int      n;
    short    events;
    int64_t  deadline;

    if (ctl_tls_peer(link) != 0) {
        ERR_clear_error();
        return ctl_link_fail(link, "OpenSSL makes no connection");
    }

    deadline = ctl_clock() + CTL_LINK_SILENCE;

    for ( ;; ) {
        ERR_clear_error();
        n = SSL_connect(link->ssl);

        if (n == 1) {
            return 0;
        }

        if (ctl_tls_again(link, n, &events) != 0) {
            return -1;
        }

        if (ctl_socket_wait(link, events, deadline) != 0) {
            return ctl_link_fail(link, "no answer to TLS in time: does it "
                                 "speak TLS there?");
        }
    }
}


/* Which name its certificate has to have, and is asked for. */

static int
ctl_tls_peer(ctl_link_t *link)
{
    const char         *name;
    struct in6_addr     address;
    X509_VERIFY_PARAM  *param;

    link->ssl = SSL_new(link->tls->ctx);

    if (link->ssl == NULL || SSL_set_fd(link->ssl, link->fd) != 1
        || SSL_set_app_data(link->ssl, link) != 1)
    {
        return -1;
    }

    param = SSL_get0_param(link->ssl);
    name = link->tls->name[0] ? link->tls->name : link->url.host;

    if (inet_pton(AF_INET, name, &address) == 1
        || inet_pton(AF_INET6, name, &address) == 1)
    {
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1 ? 0 : -1;
    }

    X509_VERIFY_PARAM_set_hostflags(param,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);

    if (X509_VERIFY_PARAM_set1_host(param, name, 0) != 1
        || SSL_set_tlsext_host_name(link->ssl, name) != 1)
    {
        return -1;
    }

    return 0;
}


/* Only where none is set; to go on without one is what it returns. */

static int
ctl_tls_asked(SSL *ssl, X509 **cert, EVP_PKEY **key)
{
    ctl_link_t  *link;

    (void) cert;
    (void) key;

    link = SSL_get_app_data(ssl);
    link->asked = 1;

    return 0;
}


ssize_t
ctl_tls_write(ctl_link_t *link, const char *bytes, size_t len, short *events)
{
    int  n;

    ERR_clear_error();

    n = SSL_write(link->ssl, bytes, len > INT16_MAX ? INT16_MAX : (int) len);

    return n > 0 ? n : ctl_tls_again(link, n, events);
}


ssize_t
ctl_tls_read(ctl_link_t *link, char *bytes, size_t size, short *events)
{
    int  n;

    ERR_clear_error();

    n = SSL_read(link->ssl, bytes, (int) size);

    if (n > 0) {
        link->heard = 1;
        return n;
    }

    return ctl_tls_again(link, n, events);
}


/* Returns 0 with the events to wait for, or -1. */

static ssize_t
ctl_tls_again(ctl_link_t *link, int n, short *events)
{
    int  error;

    error = errno;

    switch (SSL_get_error(link->ssl, n)) {

    case SSL_ERROR_WANT_READ:
        *events = POLLIN;
        return 0;

    case SSL_ERROR_WANT_WRITE:
        *events = POLLOUT;
        return 0;

    case SSL_ERROR_SYSCALL:
        break;

    default:
        error = 0;
    }

    return ctl_tls_failed(link, error);
}


/*
 * With TLS 1.3 a client learns after the handshake that its certificate was
 * missed, if the connection is not just closed.
 */

static int
ctl_tls_failed(ctl_link_t *link, int error)
{
    const char     *text;
    unsigned long   code;

    code = ERR_peek_last_error();
    text = ERR_reason_error_string(code);

    if (link->asked && !link->heard) {
        ctl_link_fail(link, "it wants a client's certificate "
                      "(--redis-cert-file FILE --redis-cert-key-file FILE)");

    } else if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        ctl_tls_refused(link);

    } else if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER) {
        ctl_link_fail(link, "it does not speak TLS there");

    } else if (code == 0 || ERR_GET_REASON(code)
                            == SSL_R_UNEXPECTED_EOF_WHILE_READING)
    {
        ctl_link_fail(link, "%s", error ? strerror(error)
                                        : "Server closed the connection");

    } else {
        ctl_link_fail(link, "TLS: %s", text ? text : "failed");
    }

    ERR_clear_error();

    return -1;
}


static int
ctl_tls_refused(ctl_link_t *link)
{
    long         verified;
    const char  *hint;

    verified = SSL_get_verify_result(link->ssl);

    switch (verified) {

    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        hint = "--redis-server-name NAME tells whose it is";
        break;

    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        hint = "that server needs another one, or a clock is wrong";
        break;

    default:
        hint = "--redis-ca-file FILE tells who signed it";
    }

    return ctl_link_fail(link, "its certificate is refused: %s (%s)",
                         X509_verify_cert_error_string(verified), hint);
}
