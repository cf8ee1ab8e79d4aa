
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * TLS of a link to Redis.
 */


#include "ngx_pinaud_redis_inside.h"
#include <openssl/x509v3.h>


static void ngx_pinaud_link_secured(ngx_connection_t *c);
static const char *ngx_pinaud_link_distrust(ngx_pinaud_link_t *link,
    ngx_connection_t *c);
static ngx_str_t ngx_pinaud_link_ssl_name(ngx_pinaud_link_t *link);
static ngx_uint_t ngx_pinaud_link_ssl_address(ngx_str_t *name);


void
ngx_pinaud_link_secure(ngx_pinaud_link_t *link)
{
    int                error;
    socklen_t          len;
    ngx_str_t          name;
    ngx_connection_t  *c;

    c = link->peer.connection;

    error = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &error, &len) == -1
        || error)
    {
        ngx_pinaud_link_fail(link, "connect failed");
        return;
    }

    c->pool = ngx_create_pool(512, c->log);

    if (c->pool == NULL
        || ngx_ssl_create_connection(link->conf->ssl, c, NGX_SSL_CLIENT)
           != NGX_OK)
    {
        ngx_pinaud_link_fail(link, "no memory");
        return;
    }

    /* an address is no name of a virtual server */

    name = ngx_pinaud_link_ssl_name(link);

    if (!ngx_pinaud_link_ssl_address(&name)
        && SSL_set_tlsext_host_name(c->ssl->connection, (char *) name.data)
           == 0)
    {
        ngx_pinaud_link_fail(link, "no memory");
        return;
    }

    if (ngx_ssl_handshake(c) == NGX_AGAIN) {
        c->ssl->handler = ngx_pinaud_link_secured;
        return;
    }

    ngx_pinaud_link_secured(c);
}


static void
ngx_pinaud_link_secured(ngx_connection_t *c)
{
    const char         *reason;
    ngx_pinaud_link_t  *link;

    link = c->data;

    if (c->read->timedout) {
        ngx_pinaud_link_fail(link, "connect timed out");
        return;
    }

    if (!c->ssl->handshaked) {
        ngx_pinaud_link_fail(link, "TLS handshake failed");
        return;
    }

    reason = ngx_pinaud_link_distrust(link, c);

    if (reason) {
        ngx_pinaud_link_fail(link, reason);
        return;
    }

    ngx_pinaud_link_greet(link);
}


/* NULL: the server is who it has to be. */

static const char *
ngx_pinaud_link_distrust(ngx_pinaud_link_t *link, ngx_connection_t *c)
{
    long         rc;
    X509        *cert;
    ngx_str_t    name;
    ngx_uint_t   same;
    const char  *reason;

    reason = "certificate is not trusted";

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc == X509_V_ERR_CERT_HAS_EXPIRED) {
        reason = "certificate has expired";
    }

    if (rc != X509_V_OK) {
        return reason;
    }

    name = ngx_pinaud_link_ssl_name(link);

    if (!ngx_pinaud_link_ssl_address(&name)) {
        same = (ngx_ssl_check_host(c, &name) == NGX_OK);

    } else {
        cert = SSL_get_peer_certificate(c->ssl->connection);
        if (cert == NULL) {
            return reason;
        }

        same = (X509_check_ip_asc(cert, (char *) name.data, 0) == 1);
        X509_free(cert);
    }

    if (!same) {
        reason = "certificate is for another name";
        return reason;
    }

    return NULL;
}


/* Ends in a zero. */

static ngx_str_t
ngx_pinaud_link_ssl_name(ngx_pinaud_link_t *link)
{
    ngx_str_t  name;

    if (link->conf->ssl_name.len) {
        return link->conf->ssl_name;
    }

    name.data = link->servers[link->nserver].host;
    name.len = ngx_strlen(name.data);

    return name;
}


static ngx_uint_t
ngx_pinaud_link_ssl_address(ngx_str_t *name)
{
    struct in6_addr  address;

    return inet_pton(AF_INET, (char *) name->data, &address) == 1
           || inet_pton(AF_INET6, (char *) name->data, &address) == 1;
}


void
ngx_pinaud_link_unsecure(ngx_connection_t *c)
{
    if (c->ssl) {

        /* says and waits for nothing, so that it is done at once */

        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }
}
