
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What "nginx -t" refuses in an enabled location: each message names the
 * directive, the reason and the cure. Of proxy_pass only the part is read
 * that its module shares with all upstream modules, its first member; what
 * that does not tell, the gate refuses at run time.
 */


#include "ngx_pinaud.h"


static char *ngx_pinaud_check_main(ngx_conf_t *cf, ngx_str_t *name,
    ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_loc_conf_t *plcf);
static char *ngx_pinaud_check_proxy(ngx_conf_t *cf, ngx_str_t *name,
    ngx_http_upstream_conf_t *u);
static char *ngx_pinaud_check_tls(ngx_conf_t *cf, ngx_str_t *name,
    ngx_pinaud_loc_conf_t *plcf, ngx_http_upstream_conf_t *u);
static ngx_uint_t ngx_pinaud_check_local(ngx_http_upstream_conf_t *u);
static ngx_uint_t ngx_pinaud_check_loopback(struct sockaddr *sockaddr);
static char *ngx_pinaud_check_failed(ngx_conf_t *cf, ngx_str_t *name,
    const char *reason);


extern ngx_module_t  ngx_http_proxy_module;


char *
ngx_pinaud_check_location(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf,
    ngx_pinaud_loc_conf_t *plcf)
{
    char                      *rc;
    ngx_http_upstream_conf_t  *u;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    u = ngx_http_conf_get_module_loc_conf(cf, ngx_http_proxy_module);

    rc = ngx_pinaud_check_main(cf, &clcf->name, pmcf, plcf);

    if (rc == NGX_CONF_OK) {
        rc = ngx_pinaud_check_proxy(cf, &clcf->name, u);
    }

    if (rc == NGX_CONF_OK) {
        rc = ngx_pinaud_check_tls(cf, &clcf->name, plcf, u);
    }

    /* no answer from outside leads into other locations or slows one down */

    u->ignore_headers |= NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT
                         |NGX_HTTP_UPSTREAM_IGN_XA_LIMIT_RATE
                         |NGX_HTTP_UPSTREAM_IGN_XA_BUFFERING
                         |NGX_HTTP_UPSTREAM_IGN_XA_CHARSET;

    return rc;
}


static char *
ngx_pinaud_check_main(ngx_conf_t *cf, ngx_str_t *name,
    ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_loc_conf_t *plcf)
{
    if (pmcf->redis == NULL) {
        return ngx_pinaud_check_failed(cf, name,
                   "needs \"pinaud_redis\" in http, such as "
                   "\"pinaud_redis redis://127.0.0.1\"");
    }

    if (pmcf->seal_key_file.len == 0) {
        return ngx_pinaud_check_failed(cf, name,
                   "needs \"pinaud_seal_key_file\" in http; "
                   "\"pinaudctl seal-key generate\" makes a key");
    }

    if (plcf->team == NULL && plcf->team_key == NULL && !plcf->retry) {
        return ngx_pinaud_check_failed(cf, name,
                   "needs \"pinaud_team\" or \"pinaud_team_key\", which tell "
                   "who calls");
    }

    return NGX_CONF_OK;
}


static char *
ngx_pinaud_check_proxy(ngx_conf_t *cf, ngx_str_t *name,
    ngx_http_upstream_conf_t *u)
{
    if (u->upstream == NULL) {
        return ngx_pinaud_check_failed(cf, name,
                   "needs \"proxy_pass\" without variables, to an upstream "
                   "that is known at start");
    }

    if (!u->pass_request_body) {
        return ngx_pinaud_check_failed(cf, name,
                   "can't go with \"proxy_pass_request_body off\": remove it");
    }

    if (u->store) {
        return ngx_pinaud_check_failed(cf, name,
                   "can't go with \"proxy_store\": set it \"off\"");
    }

#if (NGX_HTTP_CACHE)

    if (u->cache) {
        return ngx_pinaud_check_failed(cf, name,
                   "can't go with \"proxy_cache\": set it \"off\"");
    }

#endif

    if (u->next_upstream & NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT) {
        return ngx_pinaud_check_failed(cf, name,
                   "can't go with \"proxy_next_upstream non_idempotent\", "
                   "which can make an audience twice: set it \"off\"");
    }

    return NGX_CONF_OK;
}


/*
 * A context of TLS tells of an https URL. But later versions of nginx let
 * locations share it, so that one with an http URL may have it, too: then
 * what may be wrong is left to the gate, which knows.
 */

static char *
ngx_pinaud_check_tls(ngx_conf_t *cf, ngx_str_t *name,
    ngx_pinaud_loc_conf_t *plcf, ngx_http_upstream_conf_t *u)
{
    plcf->local = ngx_pinaud_check_local(u);

    if (u->ssl == NULL || u->ssl->ctx == NULL) {

        if (plcf->local) {
            return NGX_CONF_OK;
        }

        return ngx_pinaud_check_failed(cf, name,
                   "sends tokens in the clear to another host: use "
                   "\"https://\" in \"proxy_pass\"");
    }

#if (nginx_version >= 1023000)

    if (plcf->local) {
        return NGX_CONF_OK;
    }

#endif

    if (!u->ssl_verify) {
        return ngx_pinaud_check_failed(cf, name,
                   "needs \"proxy_ssl_verify on\", else the token can go to "
                   "anybody");
    }

    if (!u->ssl_server_name) {
        return ngx_pinaud_check_failed(cf, name,
                   "needs \"proxy_ssl_server_name on\", which Pinterest's "
                   "servers go by");
    }

    return NGX_CONF_OK;
}


/* The token goes in the clear only to this host. */

static ngx_uint_t
ngx_pinaud_check_local(ngx_http_upstream_conf_t *u)
{
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;

    for (peers = u->upstream->peer.data; peers; peers = peers->next) {

        for (peer = peers->peer; peer; peer = peer->next) {

            if (!ngx_pinaud_check_loopback(peer->sockaddr)) {
                return 0;
            }
        }
    }

    return 1;
}


static ngx_uint_t
ngx_pinaud_check_loopback(struct sockaddr *sockaddr)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (sockaddr->sa_family) {

    case AF_UNIX:
        return 1;

    case AF_INET:
        sin = (struct sockaddr_in *) sockaddr;
        return (ntohl(sin->sin_addr.s_addr) >> 24) == 127;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sockaddr;
        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);
#endif

    default:
        return 0;
    }
}


static char *
ngx_pinaud_check_failed(ngx_conf_t *cf, ngx_str_t *name, const char *reason)
{
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "location \"%V\" with \"pinaud\" %s", name, reason);

    return NGX_CONF_ERROR;
}
