
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Charges given back: of requests of which nothing was sent to Pinterest.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_REFUND_KEEP  "60000"    /* ms: how long a mark stands */


void
ngx_pinaud_refund(ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_policy_t *policy,
    ngx_pinaud_charge_t *charge)
{
    char         keys[NGX_PINAUD_KEYS][PINAUD_KEY_MAX], nkeys[2];
    u_char       id[NGX_PINAUD_ID_LEN + 2], at[NGX_INT64_LEN];
    size_t       lens[NGX_PINAUD_KEYS + 3], all[NGX_PINAUD_KEYS];
    ngx_uint_t   argc, i, k;
    const char  *args[NGX_PINAUD_KEYS + 3];

    /* of the keys, the first of which is no bucket, those that were charged */

    k = ngx_pinaud_command_keys(policy, charge->mode, keys, all);
    argc = 1;

    for (i = 1; i < k; i++) {

        if (charge->buckets & (1 << (i - 1))) {
            args[argc] = keys[i];
            lens[argc++] = all[i];
        }
    }

    if (argc == 1) {
        return;
    }

    /* a request is admitted anew after Pinterest's 401: that is its second */

    ngx_memcpy(id, charge->id, NGX_PINAUD_ID_LEN);
    id[NGX_PINAUD_ID_LEN] = '-';
    id[NGX_PINAUD_ID_LEN + 1] = charge->retried ? '2' : '1';

    args[argc] = keys[0];
    lens[argc++] = pinaud_key_refund(keys[0], (char *) policy->credential,
                                     policy->credential_len, (char *) id,
                                     sizeof(id));

    nkeys[0] = '0' + argc - 1;
    args[0] = nkeys;
    lens[0] = 1;

    args[argc] = (char *) at;
    lens[argc++] = ngx_pinaud_digits(at, charge->at) - at;
    args[argc] = NGX_PINAUD_REFUND_KEEP;
    lens[argc++] = sizeof(NGX_PINAUD_REFUND_KEEP) - 1;

    if (ngx_pinaud_tell(pmcf->worker->redis, &pmcf->refund, argc, args, lens,
                        NULL, NULL)
        != NGX_OK)
    {
        ngx_pinaud_zone_store_error(ngx_pinaud_zone(pmcf), "refund");
    }
}
