
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Where a server is: its name, and the addresses that the name leads to,
 * looked up by nginx's resolver when a connection has failed.
 */


#include "ngx_pinaud_redis_inside.h"


static void ngx_pinaud_link_resolved(ngx_resolver_ctx_t *ctx);


ngx_int_t
ngx_pinaud_server_set(ngx_pinaud_server_t *server, const char *host,
    size_t len, in_port_t port)
{
    ngx_sockaddr_t  *sa;

    if (!pinaud_host_valid(host, len)) {
        return NGX_ERROR;
    }

    ngx_memzero(server, sizeof(ngx_pinaud_server_t));
    ngx_memcpy(server->host, host, len);
    server->port = port;

    sa = &server->addrs[0];

    if (inet_pton(AF_INET, (char *) server->host, &sa->sockaddr_in.sin_addr)
        == 1)
    {
        sa->sockaddr_in.sin_family = AF_INET;
        server->socklens[0] = sizeof(struct sockaddr_in);

#if (NGX_HAVE_INET6)

    } else if (inet_pton(AF_INET6, (char *) server->host,
                         &sa->sockaddr_in6.sin6_addr)
               == 1)
    {
        sa->sockaddr_in6.sin6_family = AF_INET6;
        server->socklens[0] = sizeof(struct sockaddr_in6);

#endif

    } else {
        server->named = 1;
        return NGX_OK;
    }

    ngx_inet_set_port(&sa->sockaddr, port);
    server->naddrs = 1;

    return NGX_OK;
}


ngx_int_t
ngx_pinaud_link_resolve(ngx_pinaud_link_t *link)
{
    ngx_resolver_ctx_t   *ctx;
    ngx_pinaud_server_t  *server;

    server = &link->servers[link->nserver];

    if (!server->named || link->conf->resolver == NULL) {
        return NGX_OK;
    }

    ctx = ngx_resolve_start(link->conf->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return NGX_OK;
    }

    ctx->name.data = server->host;
    ctx->name.len = ngx_strlen(server->host);
    ctx->handler = ngx_pinaud_link_resolved;
    ctx->data = link;
    ctx->timeout = ngx_min(link->conf->resolver_timeout,
                           link->conf->connect_timeout);

    link->resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        link->resolving = NULL;
        return NGX_OK;
    }

    return NGX_AGAIN;
}


/* Where this failed the server is looked for where it was. */

static void
ngx_pinaud_link_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t            i;
    ngx_pinaud_link_t    *link;
    ngx_pinaud_server_t  *server;

    link = ctx->data;
    server = &link->servers[link->nserver];

    if (ctx->state == NGX_OK && ctx->naddrs) {
        server->naddrs = ngx_min(ctx->naddrs, NGX_PINAUD_ADDRESSES);

        for (i = 0; i < server->naddrs; i++) {
            ngx_memcpy(&server->addrs[i], ctx->addrs[i].sockaddr,
                       ctx->addrs[i].socklen);
            ngx_inet_set_port(&server->addrs[i].sockaddr, server->port);
            server->socklens[i] = ctx->addrs[i].socklen;
        }
    }

    link->resolving = NULL;
    ngx_resolve_name_done(ctx);

    ngx_pinaud_link_connect(link);
}
