
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What Pinterest's rate-limit fields tell. They are those of Envoy's third
 * draft: "x-ratelimit-limit: 100, 100;w=1;name="safety_net_app_id_user_id",
 * 400;w=60;name="ads_write_app_id_user_id"", with remaining and reset of the
 * limit nearest to its end, which is the first number; a plain number was
 * seen too. Reset is in seconds to go.
 */


#ifndef _PINAUD_RATELIMIT_H_INCLUDED_
#define _PINAUD_RATELIMIT_H_INCLUDED_


#include <stddef.h>


#pragma GCC visibility push(hidden)


#define PINAUD_RATELIMIT_RESET_MAX  86400


typedef enum {
    PINAUD_CLASS_UNKNOWN = 0,      /* no name is told */
    PINAUD_CLASS_WRITES,           /* of ads_write */
    PINAUD_CLASS_ALL,              /* of every call: safety_net */
    PINAUD_CLASS_OTHER             /* of something else */
} pinaud_class_e;


/*
 * Which class the limit nearest to its end is of; reset as below, or -1. What
 * does not parse is unknown.
 */
pinaud_class_e pinaud_ratelimit_class(const unsigned char *limit, size_t len,
    long reset);

/* A field that is one number, 0 to PINAUD_RATELIMIT_RESET_MAX, else -1. */
long pinaud_ratelimit_number(const unsigned char *value, size_t len);


#pragma GCC visibility pop


#endif /* _PINAUD_RATELIMIT_H_INCLUDED_ */
