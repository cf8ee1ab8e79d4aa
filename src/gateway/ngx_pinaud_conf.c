
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Directives, and what workers need of the configuration. How to reach Redis
 * is in ngx_pinaud_conf_redis.c.
 */


#include "ngx_pinaud_conf.h"
#include "pinaud_scripts.h"
#include <ngx_sha1.h>


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
