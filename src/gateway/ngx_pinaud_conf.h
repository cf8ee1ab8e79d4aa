
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Directives that need more than nginx's own slots, and what is made of the
 * configuration when all of it was read.
 */


#ifndef _NGX_PINAUD_CONF_H_INCLUDED_
#define _NGX_PINAUD_CONF_H_INCLUDED_


#include "ngx_pinaud.h"


#pragma GCC visibility push(hidden)


char *ngx_pinaud_conf_retry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pinaud_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pinaud_conf_seal_key_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_pinaud_conf_team_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pinaud_conf_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pinaud_conf_idempotency(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * How workers are to reach Redis: servers, handshake, TLS, resolver. This and
 * the following tell what is wrong in the log, and return NGX_ERROR.
 */
ngx_int_t ngx_pinaud_conf_store(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf);

/*
 * Its part: what a connection to a master begins with, and one to who tells
 * where masters are. User and database are the URL's.
 */
ngx_int_t ngx_pinaud_conf_greetings(ngx_conf_t *cf,
    ngx_pinaud_main_conf_t *pmcf, pinaud_url_t *url);

/*
 * Makes what workers need: the way to the store, the key ring, the zone, the
 * scripts' names.
 */
ngx_int_t ngx_pinaud_conf_finish(ngx_conf_t *cf, ngx_pinaud_main_conf_t *pmcf);


#pragma GCC visibility pop


#endif /* _NGX_PINAUD_CONF_H_INCLUDED_ */
