
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What connections to Redis begin with, as the configuration tells it: made
 * once, and sent as it is.
 */


#include "ngx_pinaud_conf.h"


static ngx_int_t ngx_pinaud_conf_master(ngx_conf_t *cf,
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


ngx_int_t
ngx_pinaud_conf_greetings(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    pinaud_url_t *url)
{
    if (ngx_pinaud_conf_master(cf, pmcf, url) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_pinaud_conf_guide(cf, pmcf, url);
}


/*
 * What each connection to a master begins with. PING tells whether Redis is
 * still loading, HELLO its role; the last reply is its time.
 */

static ngx_int_t
ngx_pinaud_conf_master(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
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
