
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl credential put"
 */


#include <string.h>
#include "ctl_credential.h"


static int ctl_put_options(ctl_t *ctl, ctl_put_t *put);


int
ctl_credential_put(ctl_t *ctl)
{
    int        rc;
    ctl_put_t  put;

    memset(&put, 0, sizeof(ctl_put_t));
    put.name = ctl->args[0];

    rc = ctl_put_options(ctl, &put);

    if (rc == CTL_DONE) {
        rc = ctl_put_secret(ctl, &put, "access-token-file", &put.token);
    }

    if (rc == CTL_DONE) {
        rc = ctl_put_secret(ctl, &put, "refresh-token-file", &put.refresh);
    }

    if (rc == CTL_DONE) {
        rc = ctl_put_secret(ctl, &put, "client-secret-file",
                            &put.client_secret);
    }

    if (rc == CTL_DONE) {
        rc = ctl_store_open(ctl);
    }

    if (rc == CTL_DONE) {
        rc = ctl_put_store(ctl, &put);
    }

    pinaud_keyring_free(put.ring);

    if (rc == CTL_DONE) {
        ctl_report(ctl, 0);
    }

    return rc;
}


static int
ctl_put_options(ctl_t *ctl, ctl_put_t *put)
{
    int               rc;
    const char       *text;
    pinaud_limits_t   ignored, ignored_all;

    rc = ctl_check_name("credential", put->name);

    text = ctl_given(ctl, "expires-in");

    if (rc == CTL_DONE && text != NULL) {
        rc = ctl_seconds("expires-in", text, &put->expires_in);
    }

    text = ctl_given(ctl, "refresh-expires-in");

    if (rc == CTL_DONE && text != NULL) {
        rc = ctl_seconds("refresh-expires-in", text,
                         &put->refresh_expires_in);
    }

    if (rc == CTL_DONE) {
        rc = ctl_limits_given(ctl, "limit", &put->limits,
                              &put->limits_named);
    }

    if (rc == CTL_DONE) {
        rc = ctl_limits_given(ctl, "limit-all", &put->limits_all,
                              &put->limits_all_named);
    }

    if (rc != CTL_DONE) {
        return rc;
    }

    put->tier = ctl_given(ctl, "tier");

    if (put->tier && !ctl_limits_tier(put->tier, &ignored, &ignored_all)) {
        return ctl_fail(CTL_USAGE, "--tier is standard or trial");
    }

    return ctl_put_client_id(ctl, put);
}


int
ctl_put_client_id(ctl_t *ctl, ctl_put_t *put)
{
    size_t  len;

    put->client_id = ctl_given(ctl, "client-id");

    if (put->client_id == NULL) {
        return CTL_DONE;
    }

    len = strlen(put->client_id);

    if (len > 128
        || strspn(put->client_id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789._-")
           != len)
    {
        return ctl_fail(CTL_USAGE, "--client-id is 1 to 128 letters, digits "
                        "and . _ -");
    }

    return CTL_DONE;
}


int
ctl_put_secret(ctl_t *ctl, ctl_put_t *put, const char *option,
    ctl_plain_t *plain)
{
    int          rc;
    const char  *path;

    path = ctl_given(ctl, option);

    if (path == NULL) {
        return CTL_DONE;
    }

    if (put->ring == NULL) {
        rc = ctl_keyring_master(ctl, &put->ring);

        if (rc != CTL_DONE) {
            return rc;
        }
    }

    return ctl_secret_read(ctl, option, path, &plain->text, &plain->len);
}
