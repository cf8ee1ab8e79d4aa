
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The front door: directives, configuration, phases. What they mean is in
 * src/gateway.
 */


#include "ngx_pinaud.h"
#include "ngx_pinaud_conf.h"


static ngx_int_t ngx_pinaud_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_pinaud_postconfiguration(ngx_conf_t *cf);
static void *ngx_pinaud_create_main_conf(ngx_conf_t *cf);
static char *ngx_pinaud_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_pinaud_create_loc_conf(ngx_conf_t *cf);
static char *ngx_pinaud_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_pinaud_init_process(ngx_cycle_t *cycle);
static void ngx_pinaud_exit_process(ngx_cycle_t *cycle);


static ngx_conf_enum_t  ngx_pinaud_normalize[] = {
    { ngx_string("documented"), NGX_PINAUD_NORMALIZE_DOCUMENTED },
    { ngx_string("lenient"), NGX_PINAUD_NORMALIZE_LENIENT },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_pinaud_unknown_members[] = {
    { ngx_string("reject"), NGX_PINAUD_UNKNOWN_REJECT },
    { ngx_string("forward"), NGX_PINAUD_UNKNOWN_FORWARD },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_pinaud_passthrough[] = {
    { ngx_string("off"), NGX_PINAUD_PASSTHROUGH_OFF },
    { ngx_string("audiences"), NGX_PINAUD_PASSTHROUGH_AUDIENCES },
    { ngx_string("on"), NGX_PINAUD_PASSTHROUGH_ON },
    { ngx_null_string, 0 }
};


static ngx_conf_num_bounds_t  ngx_pinaud_allowance_bounds = {
    ngx_conf_check_num_bounds, 0, 1000000
};


static ngx_command_t  ngx_pinaud_commands[] = {

    { ngx_string("pinaud"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pinaud_loc_conf_t, enable),
      NULL },

    { ngx_string("pinaud_retry"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_pinaud_conf_retry,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pinaud_report"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pinaud_loc_conf_t, report),
      NULL },

    { ngx_string("pinaud_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_pinaud_conf_redis,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pinaud_redis_password_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pinaud_main_conf_t, redis_password_file),
      NULL },

    { ngx_string("pinaud_redis_sentinel_password_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pinaud_main_conf_t, redis_sentinel_password_file),
      NULL },

    { ngx_string("pinaud_redis_ssl_trusted_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pinaud_main_conf_t, redis_trusted_certificate),
      NULL },

    { ngx_string("pinaud_redis_ssl_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pinaud_main_conf_t, redis_certificate),
      NULL },

    { ngx_string("pinaud_redis_ssl_certificate_key"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pinaud_main_conf_t, redis_certificate_key),
      NULL },

    { ngx_string("pinaud_redis_ssl_name"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pinaud_main_conf_t, redis_ssl_name),
      NULL },

    { ngx_string("pinaud_redis_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pinaud_main_conf_t, store.timeout),
      NULL },

    { ngx_string("pinaud_redis_connect_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pinaud_main_conf_t, store.connect_timeout),
      NULL },

    { ngx_string("pinaud_seal_key_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_pinaud_conf_seal_key_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pinaud_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pinaud_main_conf_t, zone_size),
      NULL },

    { ngx_string("pinaud_outage_allowance"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pinaud_main_conf_t, outage_allowance),
      &ngx_pinaud_allowance_bounds },

    { ngx_string("pinaud_team"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pinaud_loc_conf_t, team),
      NULL },

    { ngx_string("pinaud_team_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_pinaud_conf_team_key,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pinaud_loc_conf_t, team_key),
      NULL },

    { ngx_string("pinaud_normalize"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pinaud_loc_conf_t, normalize),
      &ngx_pinaud_normalize },

    { ngx_string("pinaud_unknown_members"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pinaud_loc_conf_t, unknown_members),
      &ngx_pinaud_unknown_members },

    { ngx_string("pinaud_passthrough"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pinaud_loc_conf_t, passthrough),
      &ngx_pinaud_passthrough },

    { ngx_string("pinaud_quota_wait"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pinaud_loc_conf_t, quota_wait),
      NULL },

    { ngx_string("pinaud_refresh_wait"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pinaud_loc_conf_t, refresh_wait),
      NULL },

    { ngx_string("pinaud_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_pinaud_conf_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pinaud_idempotency"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_pinaud_conf_idempotency,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_pinaud_module_ctx = {
    ngx_pinaud_preconfiguration,           /* preconfiguration */
    ngx_pinaud_postconfiguration,          /* postconfiguration */

    ngx_pinaud_create_main_conf,           /* create main configuration */
    ngx_pinaud_init_main_conf,             /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_pinaud_create_loc_conf,            /* create location configuration */
    ngx_pinaud_merge_loc_conf              /* merge location configuration */
};


ngx_module_t  ngx_pinaud_module = {
    NGX_MODULE_V1,
    &ngx_pinaud_module_ctx,                /* module context */
    ngx_pinaud_commands,                   /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_pinaud_init_process,               /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_pinaud_exit_process,               /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_pinaud_preconfiguration(ngx_conf_t *cf)
{
    return ngx_pinaud_variables_add(cf);
}


static ngx_int_t
ngx_pinaud_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h, *first;
    ngx_pinaud_main_conf_t     *pmcf;
    ngx_http_core_main_conf_t  *cmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_pinaud_module);

    if (ngx_pinaud_conf_finish(cf, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!pmcf->enabled) {
        return NGX_OK;
    }

    if (ngx_pinaud_gate_init(cf, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_pinaud_request_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    /* first of its phase: the access log tells the outcome that it settles */

    first = cmcf->phases[NGX_HTTP_LOG_PHASE].handlers.elts;
    ngx_memmove(first + 1, first, (u_char *) h - (u_char *) first);
    *first = ngx_pinaud_log_handler;

    ngx_pinaud_filter_init();

    return NGX_OK;
}


static void *
ngx_pinaud_create_main_conf(ngx_conf_t *cf)
{
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_pinaud_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     pmcf->redis = NULL;
     *     pmcf->ring = NULL;
     *     pmcf->zone = NULL;
     *     pmcf->worker = NULL;
     *     pmcf->enabled = 0;
     */

    pmcf->store.timeout = NGX_CONF_UNSET_MSEC;
    pmcf->store.connect_timeout = NGX_CONF_UNSET_MSEC;
    pmcf->zone_size = NGX_CONF_UNSET_SIZE;
    pmcf->outage_allowance = NGX_CONF_UNSET;

    return pmcf;
}


static char *
ngx_pinaud_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_pinaud_main_conf_t *pmcf = conf;

    ngx_conf_init_msec_value(pmcf->store.timeout, 200);
    ngx_conf_init_msec_value(pmcf->store.connect_timeout, 1000);
    ngx_conf_init_size_value(pmcf->zone_size, 4 * 1024 * 1024);
    ngx_conf_init_value(pmcf->outage_allowance, 0);

    return NGX_CONF_OK;
}


static void *
ngx_pinaud_create_loc_conf(ngx_conf_t *cf)
{
    ngx_pinaud_loc_conf_t  *plcf;

    plcf = ngx_pcalloc(cf->pool, sizeof(ngx_pinaud_loc_conf_t));
    if (plcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     plcf->retry = 0;
     *     plcf->status = NGX_PINAUD_STATUS_OFF;
     */

    plcf->enable = NGX_CONF_UNSET;
    plcf->report = NGX_CONF_UNSET_PTR;
    plcf->team = NGX_CONF_UNSET_PTR;
    plcf->team_key = NGX_CONF_UNSET_PTR;
    plcf->normalize = NGX_CONF_UNSET_UINT;
    plcf->unknown_members = NGX_CONF_UNSET_UINT;
    plcf->passthrough = NGX_CONF_UNSET_UINT;
    plcf->quota_wait = NGX_CONF_UNSET_MSEC;
    plcf->refresh_wait = NGX_CONF_UNSET_MSEC;
    plcf->idempotency = NGX_CONF_UNSET_MSEC;

    return plcf;
}


static char *
ngx_pinaud_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_pinaud_loc_conf_t *prev = parent;
    ngx_pinaud_loc_conf_t *conf = child;

    ngx_pinaud_main_conf_t    *pmcf;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_ptr_value(conf->report, prev->report, NULL);
    ngx_conf_merge_uint_value(conf->normalize, prev->normalize,
                              NGX_PINAUD_NORMALIZE_DOCUMENTED);
    ngx_conf_merge_uint_value(conf->unknown_members, prev->unknown_members,
                              NGX_PINAUD_UNKNOWN_REJECT);
    ngx_conf_merge_uint_value(conf->passthrough, prev->passthrough,
                              NGX_PINAUD_PASSTHROUGH_AUDIENCES);
    ngx_conf_merge_msec_value(conf->quota_wait, prev->quota_wait, 0);
    ngx_conf_merge_msec_value(conf->refresh_wait, prev->refresh_wait, 2000);
    ngx_conf_merge_msec_value(conf->idempotency, prev->idempotency, 0);

    if (clcf->noname && prev->retry) {

        /* an "if" block in it */

        conf->retry = 1;
    }

    if (conf->team == NGX_CONF_UNSET_PTR
        && conf->team_key == NGX_CONF_UNSET_PTR)
    {
        /* who calls is told by one of both: a lower level replaces both */

        conf->team = prev->team;
        conf->team_key = prev->team_key;
    }

    if (conf->team == NGX_CONF_UNSET_PTR) {
        conf->team = NULL;
    }

    if (conf->team_key == NGX_CONF_UNSET_PTR) {
        conf->team_key = NULL;
    }

    if (conf->team && conf->team_key) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "both \"pinaud_team\" and \"pinaud_team_key\" in "
                      "location \"%V\": keep one of them", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (!conf->enable && !conf->retry) {
        return NGX_CONF_OK;
    }

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_pinaud_module);
    pmcf->enabled = 1;

    return ngx_pinaud_check_location(cf, pmcf, conf);
}


static ngx_int_t
ngx_pinaud_init_process(ngx_cycle_t *cycle)
{
    ngx_pinaud_main_conf_t  *pmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_pinaud_module);

    if (pmcf == NULL || !pmcf->enabled) {
        return NGX_OK;
    }

    return ngx_pinaud_worker_create(cycle, pmcf);
}


static void
ngx_pinaud_exit_process(ngx_cycle_t *cycle)
{
    ngx_pinaud_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_pinaud_module);

    if (pmcf && pmcf->worker && pmcf->worker->redis) {
        ngx_pinaud_worker_destroy(pmcf->worker);
    }
}
