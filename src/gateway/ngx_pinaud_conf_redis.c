
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
static ngx_int_t ngx_pinaud_conf_greeting(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf, pinaud_url_t *url);
static ngx_int_t ngx_pinaud_conf_guide(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf, pinaud_url_t *url);
static ngx_int_t ngx_pinaud_conf_auth(ngx_conf_t *cf, ngx_str_t *path,
    const char *user, ngx_pinaud_greeting_t *greeting);
static ngx_int_t ngx_pinaud_conf_greet(ngx_conf_t *cf,
    ngx_pinaud_greeting_t *greeting, const char *verb, ngx_str_t *one,
    ngx_str_t *two);
static ngx_int_t ngx_pinaud_conf_password(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *password);
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

    if (ngx_pinaud_conf_greeting(cf, pmcf, &reach->urls[0]) != NGX_OK
        || ngx_pinaud_conf_guide(cf, pmcf, &reach->urls[0]) != NGX_OK
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


/*
 * What each new connection begins with. PING tells whether Redis is still
 * loading, HELLO its role; the last reply is its time.
 */

static ngx_int_t
ngx_pinaud_conf_greeting(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    pinaud_url_t *url)
{
    u_char                  db[NGX_INT_T_LEN];
    ngx_str_t               number, two;
    ngx_pinaud_greeting_t  *greeting;

    greeting = &pmcf->store.greeting;

    if (pmcf->redis_password_file.len) {

        if (ngx_pinaud_conf_auth(cf, &pmcf->redis_password_file, url->user,
                                 greeting)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else if (url->user[0]) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pinaud_redis\" names a user: "
                      "\"pinaud_redis_password_file\" is needed");
        return NGX_ERROR;
    }

    if (url->db) {
        number.data = db;
        number.len = ngx_sprintf(db, "%ud", url->db) - db;

        if (ngx_pinaud_conf_greet(cf, greeting, "SELECT", &number, NULL)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_str_set(&two, "2");

    greeting->role = 1;
    greeting->time = 1;

    if (ngx_pinaud_conf_greet(cf, greeting, "PING", NULL, NULL) != NGX_OK
        || ngx_pinaud_conf_greet(cf, greeting, "HELLO", &two, NULL) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pinaud_conf_greet(cf, greeting, "TIME", NULL, NULL);
}


/* The same of who tells where masters are. */

static ngx_int_t
ngx_pinaud_conf_guide(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    pinaud_url_t *url)
{
    ngx_str_t              *path;
    const char             *user;
    ngx_pinaud_greeting_t  *guide;

    path = &pmcf->redis_sentinel_password_file;
    user = "";
    guide = &pmcf->store.guide;

    if (path->len && pmcf->store.mode != PINAUD_REACH_SENTINEL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pinaud_redis_sentinel_password_file\" has no effect "
                      "without \"mode=sentinel\" in \"pinaud_redis\"");
        return NGX_ERROR;
    }

    if (pmcf->store.mode == PINAUD_REACH_CLUSTER) {
        path = &pmcf->redis_password_file;
        user = url->user;
        guide->time = 1;
    }

    if (path->len && ngx_pinaud_conf_auth(cf, path, user, guide) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_pinaud_conf_greet(cf, guide, "PING", NULL, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    return guide->time ? ngx_pinaud_conf_greet(cf, guide, "TIME", NULL, NULL)
                       : NGX_OK;
}


static ngx_int_t
ngx_pinaud_conf_auth(ngx_conf_t *cf, ngx_str_t *path, const char *user,
    ngx_pinaud_greeting_t *greeting)
{
    ngx_str_t  name, password;

    if (ngx_pinaud_conf_password(cf, path, &password) != NGX_OK) {
        return NGX_ERROR;
    }

    name.data = (u_char *) user;
    name.len = ngx_strlen(user);

    return ngx_pinaud_conf_greet(cf, greeting, "AUTH",
                                 name.len ? &name : &password,
                                 name.len ? &password : NULL);
}


static ngx_int_t
ngx_pinaud_conf_greet(ngx_conf_t *cf, ngx_pinaud_greeting_t *greeting,
    const char *verb, ngx_str_t *one, ngx_str_t *two)
{
    int          n, argc;
    char        *command;
    u_char      *p;
    size_t       lens[3];
    ngx_str_t   *commands;
    const char  *args[3];

    argc = 1;
    args[0] = verb;
    lens[0] = ngx_strlen(verb);

    if (one) {
        args[argc] = (char *) one->data;
        lens[argc++] = one->len;
    }

    if (two) {
        args[argc] = (char *) two->data;
        lens[argc++] = two->len;
    }

    n = redisFormatCommandArgv(&command, argc, args, lens);
    if (n < 0) {
        return NGX_ERROR;
    }

    commands = &greeting->commands;
    p = ngx_pnalloc(cf->pool, commands->len + n);

    if (p) {
        ngx_memcpy(p, commands->data, commands->len);
        ngx_memcpy(p + commands->len, command, n);

        if (commands->len) {
            ngx_explicit_memzero(commands->data, commands->len);
        }

        commands->data = p;
        commands->len += n;
        greeting->n++;
    }

    ngx_explicit_memzero(command, n);
    redisFreeCommand(command);

    return p ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_pinaud_conf_password(ngx_conf_t *cf, ngx_str_t *path, ngx_str_t *password)
{
    ssize_t   n;
    u_char   *p;
    ngx_fd_t  fd;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    fd = ngx_open_file(path->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      ngx_open_file_n " \"%V\" failed", path);
        return NGX_ERROR;
    }

    /* one byte more shows that it is too long */

    p = ngx_pnalloc(cf->pool, PINAUD_PASSWORD_FILE + 1);

    n = p ? ngx_read_fd(fd, p, PINAUD_PASSWORD_FILE + 1) : 0;

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", path);
    }

    password->data = p;
    password->len = (n > 0) ? pinaud_password((char *) p, n) : 0;

    if (password->len == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" holds no password: one line of 1 to %d bytes",
                      path, PINAUD_PASSWORD_MAX);
        return NGX_ERROR;
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
