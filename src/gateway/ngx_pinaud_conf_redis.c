
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How to reach Redis, as the configuration tells it.
 */


#include "ngx_pinaud_conf.h"


#define NGX_PINAUD_SSL_DEPTH  9            /* of a chain, OpenSSL's "100" is no
                                              use */


static ngx_int_t ngx_pinaud_conf_reach(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf, pinaud_reach_t *reach);
static ngx_int_t ngx_pinaud_conf_server(ngx_conf_t *cf, ngx_str_t *text,
    pinaud_url_t *url, ngx_pinaud_server_t *server);
static ngx_int_t ngx_pinaud_conf_ssl(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf, ngx_uint_t tls);
static ngx_int_t ngx_pinaud_conf_ssl_trust(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf, ngx_ssl_t *ssl);
static ngx_int_t ngx_pinaud_conf_ssl_own(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf, ngx_ssl_t *ssl);
static void ngx_pinaud_conf_changed(void *data, ngx_uint_t up);


char *
ngx_pinaud_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_pinaud_main_conf_t *pmcf = conf;

    if (pmcf->redis) {
        return "is duplicate";
    }

    /* nginx uses the array of the words again */

    pmcf->redis = ngx_array_create(cf->pool, cf->args->nelts,
                                   sizeof(ngx_str_t));
    if (pmcf->redis == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(ngx_array_push_n(pmcf->redis, cf->args->nelts - 1),
               (ngx_str_t *) cf->args->elts + 1,
               (cf->args->nelts - 1) * sizeof(ngx_str_t));

    return NGX_CONF_OK;
}


ngx_int_t
ngx_pinaud_conf_store(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf)
{
    pinaud_reach_t            *reach;
    ngx_pinaud_redis_conf_t   *store;
    ngx_http_core_loc_conf_t  *clcf;

    store = &pmcf->store;

    reach = ngx_pcalloc(cf->temp_pool, sizeof(pinaud_reach_t));
    if (reach == NULL) {
        return NGX_ERROR;
    }

    if (ngx_pinaud_conf_reach(cf, pmcf, reach) != NGX_OK) {
        return NGX_ERROR;
    }

    if (store->timeout == 0 || store->connect_timeout == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pinaud_redis_timeout\" and "
                      "\"pinaud_redis_connect_timeout\" can't be 0: no "
                      "request would be admitted");
        return NGX_ERROR;
    }

    if (ngx_pinaud_conf_greetings(cf, pmcf, &reach->urls[0]) != NGX_OK
        || ngx_pinaud_conf_ssl(cf, pmcf, reach->urls[0].tls) != NGX_OK)
    {
        return NGX_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->resolver && clcf->resolver->connections.nelts) {
        store->resolver = clcf->resolver;
        store->resolver_timeout = clcf->resolver_timeout;
    }

    store->changed = ngx_pinaud_conf_changed;
    store->data = pmcf;

    return NGX_OK;
}


/* The words, and the servers that their URLs name. */

static ngx_int_t
ngx_pinaud_conf_reach(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    pinaud_reach_t *reach)
{
    char                      reason[PINAUD_URL_ERROR];
    ngx_str_t                *word;
    ngx_uint_t                i, n;
    ngx_pinaud_redis_conf_t  *store;

    word = pmcf->redis->elts;
    store = &pmcf->store;

    for (i = 0; i < pmcf->redis->nelts; i++) {
        if (pinaud_reach_word(reach, (char *) word[i].data, word[i].len,
                              reason)
            != 0)
        {
            goto failed;
        }
    }

    if (pinaud_reach_check(reach, reason) != 0) {
        goto failed;
    }

    store->servers = ngx_pcalloc(cf->pool,
                                 reach->nurls * sizeof(ngx_pinaud_server_t));
    if (store->servers == NULL) {
        return NGX_ERROR;
    }

    store->nservers = reach->nurls;
    store->mode = reach->mode;

    for (i = 0, n = 0; i < pmcf->redis->nelts && n < reach->nurls; i++) {

        if (ngx_strlchr(word[i].data, word[i].data + word[i].len, ':')
            == NULL)
        {
            /* not a URL */

            continue;
        }

        if (ngx_pinaud_conf_server(cf, &word[i], &reach->urls[n],
                                   &store->servers[n])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (n++ == 0) {
            store->name = word[i];
        }
    }

    if (reach->mode == PINAUD_REACH_SENTINEL) {
        store->name.len = ngx_strlen(reach->master);
        store->name.data = ngx_pnalloc(cf->pool, store->name.len);
        if (store->name.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(store->name.data, reach->master, store->name.len);
    }

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "\"pinaud_redis\" %s", reason);

    return NGX_ERROR;
}


static ngx_int_t
ngx_pinaud_conf_server(ngx_conf_t *cf, ngx_str_t *text, pinaud_url_t *url,
    ngx_pinaud_server_t *server)
{
    u_char      *p;
    ngx_url_t    u;
    ngx_uint_t   i;

    ngx_memzero(&u, sizeof(ngx_url_t));

    p = ngx_pnalloc(cf->pool, sizeof(url->host) + sizeof("unix:[]") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    u.url.data = p;

    if (url->unix_socket) {
        p = ngx_sprintf(p, "unix:%s", url->host);

    } else if (ngx_strchr(url->host, ':')) {
        p = ngx_sprintf(p, "[%s]", url->host);

    } else {
        p = ngx_sprintf(p, "%s", url->host);
    }

    u.url.len = p - u.url.data;
    u.default_port = url->port;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s in \"pinaud_redis\" \"%V\"",
                      u.err ? u.err : "no memory", text);
        return NGX_ERROR;
    }

    if (!url->unix_socket
        && ngx_pinaud_server_set(server, url->host, ngx_strlen(url->host),
                                 url->port)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    server->naddrs = ngx_min(u.naddrs, NGX_PINAUD_ADDRESSES);

    for (i = 0; i < server->naddrs; i++) {
        ngx_memcpy(&server->addrs[i], u.addrs[i].sockaddr,
                   u.addrs[i].socklen);
        server->socklens[i] = u.addrs[i].socklen;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pinaud_conf_ssl(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    ngx_uint_t tls)
{
    ngx_ssl_t           *ssl;
    ngx_pool_cleanup_t  *cln;

    if (!tls) {

        if (pmcf->redis_trusted_certificate.len || pmcf->redis_certificate.len
            || pmcf->redis_certificate_key.len || pmcf->redis_ssl_name.len)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"pinaud_redis_ssl_...\" has no effect without "
                          "\"rediss://\" in \"pinaud_redis\"");
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (ssl == NULL) {
        return NGX_ERROR;
    }

    ssl->log = cf->log;

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(ssl);
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    /* the output moves, and grows, between two attempts to write it */

    SSL_CTX_set_mode(ssl->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                               |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

    if (ngx_pinaud_conf_ssl_trust(cf, pmcf, ssl) != NGX_OK
        || ngx_pinaud_conf_ssl_own(cf, pmcf, ssl) != NGX_OK)
    {
        return NGX_ERROR;
    }

    pmcf->store.ssl = ssl;
    pmcf->store.ssl_name = pmcf->redis_ssl_name;

    return NGX_OK;
}


static ngx_int_t
ngx_pinaud_conf_ssl_trust(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    ngx_ssl_t *ssl)
{
    if (pmcf->redis_trusted_certificate.len) {
        return ngx_ssl_trusted_certificate(cf, ssl,
                                           &pmcf->redis_trusted_certificate,
                                           NGX_PINAUD_SSL_DEPTH);
    }

    if (SSL_CTX_set_default_verify_paths(ssl->ctx) == 0) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_default_verify_paths() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* The gateway's own certificate, by which Redis knows it. */

static ngx_int_t
ngx_pinaud_conf_ssl_own(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    ngx_ssl_t *ssl)
{
    ngx_str_t    *password;
    ngx_array_t  *passwords;

    if (pmcf->redis_certificate.len == 0
        && pmcf->redis_certificate_key.len == 0)
    {
        return NGX_OK;
    }

    if (pmcf->redis_certificate.len == 0
        || pmcf->redis_certificate_key.len == 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pinaud_redis_ssl_certificate\" and "
                      "\"pinaud_redis_ssl_certificate_key\" go together");
        return NGX_ERROR;
    }

    /* an encrypted key is an error then; nobody is asked for its password */

    passwords = ngx_array_create(cf->temp_pool, 1, sizeof(ngx_str_t));
    if (passwords == NULL) {
        return NGX_ERROR;
    }

    password = ngx_array_push(passwords);
    if (password == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(password, "");

    return ngx_ssl_certificate(cf, ssl, &pmcf->redis_certificate,
                               &pmcf->redis_certificate_key, passwords);
}


static void
ngx_pinaud_conf_changed(void *data, ngx_uint_t up)
{
    ngx_pinaud_main_conf_t *pmcf = data;

    ngx_pinaud_zone_store(ngx_pinaud_zone(pmcf), up);

    if (!up) {
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), "connection");
    }
}
