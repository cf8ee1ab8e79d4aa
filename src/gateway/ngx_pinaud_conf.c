
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include "ngx_pinaud_conf.h"
#include "pinaud_scripts.h"
#include <ngx_sha1.h>


#define NGX_PINAUD_PASSWORD_MAX  1024


static ngx_int_t ngx_pinaud_conf_store(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf);
static ngx_int_t ngx_pinaud_conf_address(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf, ngx_str_t *text, pinaud_url_t *url);
static ngx_int_t ngx_pinaud_conf_handshake(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf, pinaud_url_t *url);
static ngx_int_t ngx_pinaud_conf_command(ngx_conf_t *cf,
    ngx_pinaud_redis_conf_t *store, const char *verb, ngx_str_t *one,
    ngx_str_t *two);
static ngx_int_t ngx_pinaud_conf_password(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *password);
static void ngx_pinaud_conf_changed(void *data, ngx_uint_t up,
    const char *reason);
static ngx_int_t ngx_pinaud_conf_ring(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf);
static void ngx_pinaud_conf_ring_cleanup(void *data);
static void ngx_pinaud_conf_script(ngx_pinaud_script_t *script,
    const char *text, size_t len);


char *
ngx_pinaud_conf_retry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_pinaud_loc_conf_t *plcf = conf;

    if (plcf->retry) {
        return "is duplicate";
    }

    plcf->retry = 1;

    return NGX_CONF_OK;
}


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


char *
ngx_pinaud_conf_seal_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_pinaud_main_conf_t *pmcf = conf;

    ngx_str_t  *value;

    if (pmcf->seal_key_file.len) {
        return "is duplicate";
    }

    value = cf->args->elts;
    pmcf->seal_key_file = value[1];

    if (ngx_conf_full_name(cf->cycle, &pmcf->seal_key_file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_pinaud_conf_team_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strstr(value[1].data, "$arg_")
        || ngx_strstr(value[1].data, "${arg_"))
    {
        return "takes no \"$arg_\": a key in the URL ends up in logs";
    }

    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}


char *
ngx_pinaud_conf_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_pinaud_loc_conf_t *plcf = conf;

    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_pinaud_main_conf_t    *pmcf;
    ngx_http_core_loc_conf_t  *clcf;

    static const struct {
        ngx_str_t   name;
        ngx_uint_t  status;
    } statuses[] = {
        { ngx_string("json"), NGX_PINAUD_STATUS_JSON },
        { ngx_string("prometheus"), NGX_PINAUD_STATUS_PROMETHEUS },
        { ngx_string("health"), NGX_PINAUD_STATUS_HEALTH }
    };

    if (plcf->status != NGX_PINAUD_STATUS_OFF) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {

        if (value[1].len == statuses[i].name.len
            && ngx_strcmp(value[1].data, statuses[i].name.data) == 0)
        {
            plcf->status = statuses[i].status;
        }
    }

    if (plcf->status == NGX_PINAUD_STATUS_OFF) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\" in "
                           "\"%V\" directive, it must be \"json\", "
                           "\"prometheus\" or \"health\"",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_pinaud_status_handler;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_pinaud_module);
    pmcf->status = 1;

    return NGX_CONF_OK;
}


char *
ngx_pinaud_conf_idempotency(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_pinaud_loc_conf_t *plcf = conf;

    ngx_str_t  *value;

    if (plcf->idempotency != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") != 0) {
        return "can only be \"off\" in this version: requests with an "
               "Idempotency-Key are refused";
    }

    plcf->idempotency = 0;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_pinaud_conf_finish(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf)
{
    ngx_str_t  name = ngx_string("request_id");

    if (!pmcf->enabled && !pmcf->status) {
        return NGX_OK;
    }

    if (ngx_pinaud_zone_add(cf, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!pmcf->enabled) {
        return NGX_OK;
    }

    pmcf->request_id_index = ngx_http_get_variable_index(cf, &name);

    if (pmcf->request_id_index == NGX_ERROR) {
        return NGX_ERROR;
    }

    ngx_pinaud_conf_script(&pmcf->admit, pinaud_script_admit,
                           sizeof(pinaud_script_admit) - 1);
    ngx_pinaud_conf_script(&pmcf->refund, pinaud_script_refund,
                           sizeof(pinaud_script_refund) - 1);
    ngx_pinaud_conf_script(&pmcf->lease, pinaud_script_lease,
                           sizeof(pinaud_script_lease) - 1);
    ngx_pinaud_conf_script(&pmcf->cooldown, pinaud_script_cooldown,
                           sizeof(pinaud_script_cooldown) - 1);

    if (ngx_pinaud_lease_add(cf, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_pinaud_conf_ring(cf, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_pinaud_conf_store(cf, pmcf);
}


static ngx_int_t
ngx_pinaud_conf_store(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf)
{
    ngx_str_t     *word;
    ngx_uint_t     i;
    pinaud_url_t   url;

    word = pmcf->redis->elts;

    for (i = 1; i < pmcf->redis->nelts; i++) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" in \"pinaud_redis\" can't be used: this version "
                      "takes one URL of a standalone Redis", &word[i]);
        return NGX_ERROR;
    }

    if (ngx_pinaud_conf_address(cf, pmcf, &word[0], &url) != NGX_OK) {
        return NGX_ERROR;
    }

    if (pmcf->store.timeout == 0 || pmcf->store.connect_timeout == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pinaud_redis_timeout\" and "
                      "\"pinaud_redis_connect_timeout\" can't be 0: no "
                      "request would be admitted");
        return NGX_ERROR;
    }

    pmcf->store.changed = ngx_pinaud_conf_changed;
    pmcf->store.data = pmcf;

    return ngx_pinaud_conf_handshake(cf, pmcf, &url);
}


static ngx_int_t
ngx_pinaud_conf_address(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    ngx_str_t *text, pinaud_url_t *url)
{
    char       reason[PINAUD_URL_ERROR];
    u_char    *p;
    ngx_url_t  u;

    if (pinaud_url_read((char *) text->data, text->len, url, reason) != 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pinaud_redis\" %s", reason);
        return NGX_ERROR;
    }

    if (url->tls) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pinaud_redis\" can't use \"rediss://\" in this "
                      "version: use \"redis://\" or \"unix:\"");
        return NGX_ERROR;
    }

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

    pmcf->store.addrs = u.addrs;
    pmcf->store.naddrs = u.naddrs;
    pmcf->store.name = *text;

    return NGX_OK;
}


/*
 * What each new connection begins with. PING tells whether Redis is still
 * loading; the last reply is its time.
 */

static ngx_int_t
ngx_pinaud_conf_handshake(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    pinaud_url_t *url)
{
    u_char     db[NGX_INT_T_LEN];
    ngx_str_t  user, password, number;

    ngx_str_null(&password);

    user.data = (u_char *) url->user;
    user.len = ngx_strlen(url->user);

    if (pmcf->redis_password_file.len) {

        if (ngx_pinaud_conf_password(cf, &pmcf->redis_password_file, &password)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ngx_pinaud_conf_command(cf, &pmcf->store, "AUTH",
                                    user.len ? &user : &password,
                                    user.len ? &password : NULL)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else if (user.len) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pinaud_redis\" names a user: "
                      "\"pinaud_redis_password_file\" is needed");
        return NGX_ERROR;
    }

    if (url->db) {
        number.data = db;
        number.len = ngx_sprintf(db, "%ud", url->db) - db;

        if (ngx_pinaud_conf_command(cf, &pmcf->store, "SELECT", &number, NULL)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_pinaud_conf_command(cf, &pmcf->store, "PING", NULL, NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pinaud_conf_command(cf, &pmcf->store, "TIME", NULL, NULL);
}


static ngx_int_t
ngx_pinaud_conf_command(ngx_conf_t *cf, ngx_pinaud_redis_conf_t *store,
    const char *verb, ngx_str_t *one, ngx_str_t *two)
{
    int          n, argc;
    char        *command;
    u_char      *p;
    size_t       lens[3];
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

    p = ngx_pnalloc(cf->pool, store->handshake.len + n);

    if (p) {
        ngx_memcpy(p, store->handshake.data, store->handshake.len);
        ngx_memcpy(p + store->handshake.len, command, n);

        if (store->handshake.len) {
            ngx_explicit_memzero(store->handshake.data, store->handshake.len);
        }

        store->handshake.data = p;
        store->handshake.len += n;
        store->nhandshake++;
    }

    ngx_explicit_memzero(command, n);
    redisFreeCommand(command);

    return p ? NGX_OK : NGX_ERROR;
}


/* A secret's file: its one trailing newline is not part of it. */

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

    p = ngx_pnalloc(cf->pool, NGX_PINAUD_PASSWORD_MAX);

    n = p ? ngx_read_fd(fd, p, NGX_PINAUD_PASSWORD_MAX) : -1;

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", path);
    }

    if (n > 0 && p[n - 1] == LF) {
        n--;
    }

    if (n <= 0 || n == NGX_PINAUD_PASSWORD_MAX) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" holds no password of 1 to %d bytes", path,
                      NGX_PINAUD_PASSWORD_MAX - 1);
        return NGX_ERROR;
    }

    password->data = p;
    password->len = n;

    return NGX_OK;
}


static void
ngx_pinaud_conf_changed(void *data, ngx_uint_t up, const char *reason)
{
    ngx_pinaud_main_conf_t *pmcf = data;

    ngx_pinaud_zone_store(ngx_pinaud_zone(pmcf), up);

    if (!up) {
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), "connection");
    }
}


static ngx_int_t
ngx_pinaud_conf_ring(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf)
{
    char                 reason[PINAUD_SEAL_ERROR];
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    pmcf->ring = pinaud_keyring_load((char *) pmcf->seal_key_file.data,
                                     reason);

    if (pmcf->ring == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pinaud_seal_key_file\" can't be used: %s", reason);
        return NGX_ERROR;
    }

    cln->handler = ngx_pinaud_conf_ring_cleanup;
    cln->data = pmcf->ring;

    return NGX_OK;
}


static void
ngx_pinaud_conf_ring_cleanup(void *data)
{
    pinaud_keyring_free(data);
}


/* A script, and the name that EVALSHA knows it by. */

static void
ngx_pinaud_conf_script(ngx_pinaud_script_t *script, const char *text,
    size_t len)
{
    u_char      digest[20];
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, text, len);
    ngx_sha1_final(digest, &sha1);

    ngx_hex_dump(script->sha1, digest, sizeof(digest));

    script->text = text;
    script->text_len = len;
}
