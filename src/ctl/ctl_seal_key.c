
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl seal-key"
 */


#include <stdio.h>
#include <string.h>
#include <time.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "ctl_seal.h"


static int ctl_seal_key_generate(ctl_t *ctl);
static int ctl_seal_key_new(void);
static int ctl_seal_key_gateway(ctl_t *ctl);


static const ctl_option_t  ctl_generate_options[] = {
    { .name = "gateway",
      .help = "those for gateways, of the seal key file" },
    { .name = NULL }
};


const ctl_command_t  ctl_seal_key_commands[] = {

    { .noun = "seal-key", .verb = "generate", .args = "",
      .options = ctl_generate_options,
      .handler = ctl_seal_key_generate,
      .summary = "Print a new key, or those for gateways",
      .details =
"The key goes to stdout and nowhere else:\n\n"
"    (umask 027; pinaudctl seal-key generate > /etc/pinaud/seal.key)\n\n"
"In a file the first key seals and all open, so a new key goes before the\n"
"old ones. The file may not be open to others than owner and group.\n\n"
"With --gateway, the lines for the gateways' files, made from the keys of\n"
"--seal-key-file. They open access tokens, but no refresh token and no\n"
"client secret:\n\n"
"    (umask 027; pinaudctl seal-key generate --gateway > gateway.key)" },

    { .noun = "seal-key", .verb = "list", .args = "",
      .options = ctl_seal_list_options, .handler = ctl_seal_key_list,
      .summary = "Tell what each key sealed or signed",
      .details =
"A key that sealed and signed nothing may go out of the files, unless it\n"
"sealed an answer in an agent's journal, or a backup of Redis is to be used\n"
"again." },

    { .noun = "seal-key", .verb = "reseal", .args = "",
      .handler = ctl_seal_key_reseal,
      .summary = "Seal and sign everything anew with the first key",
      .details =
"What cannot be changed is told, and the rest is done; it may be stopped at\n"
"any time and be run again. Every gateway and agent has to have the first key\n"
"in its file before." },

    { .noun = NULL }
};


static int
ctl_seal_key_generate(ctl_t *ctl)
{
    return ctl_given(ctl, "gateway") ? ctl_seal_key_gateway(ctl)
                                     : ctl_seal_key_new();
}


static int
ctl_seal_key_new(void)
{
    int            len, rc;
    char           line[128];
    time_t         now;
    struct tm      tm;
    unsigned char  key[32], suffix[2], text[48];

    now = time(NULL);

    if (gmtime_r(&now, &tm) == NULL
        || RAND_bytes(suffix, sizeof(suffix)) != 1
        || RAND_priv_bytes(key, sizeof(key)) != 1)
    {
        return ctl_fail(CTL_REFUSED, "libcrypto has no random bytes");
    }

    EVP_EncodeBlock(text, key, sizeof(key));

    len = snprintf(line, sizeof(line), "%04d%02d%02d-%02x%02x:%s\n",
                   tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, suffix[0],
                   suffix[1], (char *) text);

    rc = ctl_print_secret(line, (size_t) len);

    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(text, sizeof(text));
    OPENSSL_cleanse(line, sizeof(line));

    return rc;
}


static int
ctl_seal_key_gateway(ctl_t *ctl)
{
    int          rc;
    char         error[PINAUD_SEAL_ERROR], *lines;
    size_t       len;
    const char  *path;

    rc = ctl_keyring_path(ctl, &path);

    if (rc != CTL_DONE) {
        return rc;
    }

    lines = ctl_alloc(ctl, PINAUD_SEAL_KEYS * PINAUD_GATEWAY_LINE);
    len = pinaud_keyring_gateway(path, lines, error);

    if (len == 0) {
        return ctl_fail(CTL_REFUSED, "%s", error);
    }

    return ctl_print_secret(lines, len);
}
