
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Opens what is sealed in a credential's records.
 */


#include <string.h>
#include "ctl.h"


pinaud_open_e
ctl_unseal(ctl_t *ctl, pinaud_keyring_t *ring, pinaud_domain_e domain,
    const char *kind, const char *name, uint64_t version,
    const unsigned char *sealed, size_t sealed_len, char **text, size_t *len)
{
    size_t          aad_len;
    unsigned char   aad[PINAUD_SEAL_AAD_MAX], *plain;
    pinaud_open_e   rc;

    aad_len = pinaud_seal_aad(aad, kind, name, strlen(name), version);
    plain = ctl_alloc(ctl, sealed_len + 1);

    rc = pinaud_open(ring, domain, aad, aad_len, sealed, sealed_len, plain,
                     len);

    if (rc == PINAUD_OPENED) {
        plain[*len] = '\0';
        *text = (char *) plain;
    }

    return rc;
}
