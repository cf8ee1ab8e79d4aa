
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Where the store is and who we are there: the settings.
 */


#include <string.h>
#include "ctl.h"
#include "ctl_store.h"


static int ctl_reach_words(ctl_t *ctl, pinaud_reach_t *reach);
static int ctl_reach_password(ctl_t *ctl, const char *option,
    ctl_password_t *password);
static int ctl_reach_tls(ctl_t *ctl, ctl_store_t *store);


int
ctl_reach_read(ctl_t *ctl, ctl_store_t *store)
{
    int  rc;

    rc = ctl_reach_words(ctl, &store->reach);

    if (rc == CTL_DONE) {
        rc = ctl_reach_tls(ctl, store);
    }

    if (rc == CTL_DONE) {
        rc = ctl_reach_password(ctl, "redis-password-file", &store->password);
    }

    if (rc == CTL_DONE && store->reach.mode == PINAUD_REACH_SENTINEL) {
        rc = ctl_reach_password(ctl, "redis-sentinel-password-file",
                                &store->sentinel_password);
    }

    if (rc == CTL_DONE && store->reach.urls[0].user[0]
        && store->password.len == 0)
    {
        rc = ctl_fail(CTL_USAGE, "the user in --redis has no password: "
                      "tell it by --redis-password-file FILE");
    }

    return rc;
}


static int
ctl_reach_words(ctl_t *ctl, pinaud_reach_t *reach)
{
    char         error[PINAUD_URL_ERROR];
    const char  *text;

    text = ctl_setting(ctl, "redis");

    if (text == NULL) {
        return ctl_fail(CTL_USAGE, "where is Redis? Tell it by --redis URL, "
                        "PINAUD_REDIS, or /etc/pinaud/env");
    }

    if (pinaud_reach_read(text, strlen(text), reach, error) != 0) {
        return ctl_fail(CTL_USAGE, "--redis: %s", error);
    }

    return CTL_DONE;
}


static int
ctl_reach_password(ctl_t *ctl, const char *option, ctl_password_t *password)
{
    int          rc;
    char        *text;
    size_t       len;
    const char  *path;

    path = ctl_setting(ctl, option);

    if (path == NULL) {
        return CTL_DONE;
    }

    rc = ctl_file_read(ctl, path, PINAUD_PASSWORD_FILE, &text, &len);

    if (rc != CTL_DONE) {
        return rc;
    }

    password->len = pinaud_password(text, len);

    if (password->len == 0) {
        return ctl_fail(CTL_REFUSED, "--%s: %s holds no password: one line of "
                        "1 to %d bytes", option, path, PINAUD_PASSWORD_MAX);
    }

    memcpy(password->text, text, password->len);

    return CTL_DONE;
}


/*
 * An option that only TLS has, given where there is none, is a mistake that
 * would send everything in the clear. A variable may be there for others.
 */

static int
ctl_reach_tls(ctl_t *ctl, ctl_store_t *store)
{
    char         error[CTL_LINK_ERROR];
    unsigned     i;
    const char  *cert, *key;

    static const char  *const options[] = {
        "redis-ca-file", "redis-cert-file", "redis-cert-key-file",
        "redis-server-name"
    };

    if (!store->reach.urls[0].tls) {
        for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
            if (ctl_given(ctl, options[i]) != NULL) {
                return ctl_fail(CTL_USAGE, "--%s goes with rediss:// in "
                                "--redis", options[i]);
            }
        }

        return CTL_DONE;
    }

    cert = ctl_setting(ctl, "redis-cert-file");
    key = ctl_setting(ctl, "redis-cert-key-file");

    if ((cert == NULL) != (key == NULL)) {
        return ctl_fail(CTL_USAGE, "--redis-cert-file and "
                        "--redis-cert-key-file go together");
    }

    if (ctl_tls_create(&store->tls, ctl_setting(ctl, "redis-ca-file"), cert,
                       key, ctl_setting(ctl, "redis-server-name"), error)
        != 0)
    {
        return ctl_fail(CTL_REFUSED, "%s", error);
    }

    return CTL_DONE;
}
