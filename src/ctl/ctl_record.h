
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How records are read, for the files that know what is in each.
 */


#ifndef _CTL_RECORD_H_INCLUDED_
#define _CTL_RECORD_H_INCLUDED_


#include "ctl.h"


/* Reads a record, of a format that is known; NULL where there is none. */
int ctl_record_hash(ctl_t *ctl, const char *key, redisReply **hash);

/* The same of any format. */
int ctl_record_fields(ctl_t *ctl, const char *key, redisReply **hash);

/* A field that is there and not empty, or NULL. */
const char *ctl_record_text(const redisReply *hash, const char *name);

/* 0, or no limits, where there is none. */
int ctl_record_number(const char *key, const redisReply *hash,
    const char *name, uint64_t *value);
int ctl_record_limits(const char *key, const redisReply *hash,
    const char *name, pinaud_limits_t *limits);

/* Tells that a field is not what it should be. */
int ctl_record_bad(const char *key, const char *name);


#endif /* _CTL_RECORD_H_INCLUDED_ */
