
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * pinaudctl: the operators' tool.
 */


#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "ctl.h"


static void ctl_descriptors(void);
static void ctl_harden(void);
static int ctl_run(ctl_t *ctl, int argc, const char **argv);


const ctl_command_t  *const ctl_nouns[] = {
    ctl_seal_key_commands,
    ctl_credential_commands,
    ctl_account_commands,
    ctl_team_commands,
    ctl_team_key_commands,
    ctl_policy_commands,
    ctl_usage_commands,
    ctl_cooldown_commands,
    ctl_validate_commands,
    ctl_agent_commands,
    ctl_doctor_commands,
    NULL
};


const ctl_option_t  ctl_globals[] = {

    { .name = "redis", .arg = "WORDS", .env = "PINAUD_REDIS",
      .help = "redis://[user@]host[:port][/db], unix:/path, ..." },

    { .name = "redis-password-file", .arg = "FILE",
      .env = "PINAUD_REDIS_PASSWORD_FILE",
      .help = "the password of Redis's user" },

    { .name = "redis-sentinel-password-file", .arg = "FILE",
      .env = "PINAUD_REDIS_SENTINEL_PASSWORD_FILE",
      .help = "the sentinels' password" },

    { .name = "redis-ca-file", .arg = "FILE", .env = "PINAUD_REDIS_CA_FILE",
      .help = "who signed Redis's certificate, with rediss://" },

    { .name = "redis-cert-file", .arg = "FILE",
      .env = "PINAUD_REDIS_CERT_FILE",
      .help = "our own certificate, where Redis wants one" },

    { .name = "redis-cert-key-file", .arg = "FILE",
      .env = "PINAUD_REDIS_CERT_KEY_FILE", .help = "its key" },

    { .name = "redis-server-name", .arg = "NAME",
      .env = "PINAUD_REDIS_SERVER_NAME",
      .help = "whose its certificate is, if not the host's" },

    { .name = "seal-key-file", .arg = "FILE", .env = "PINAUD_SEAL_KEY_FILE",
      .help = "what seals tokens and signs policy" },

    { .name = "json", .help = "print JSON for programs" },

    { .name = NULL }
};


int
main(int argc, char **argv)
{
    int    rc;
    ctl_t  ctl;

    memset(&ctl, 0, sizeof(ctl_t));

    ctl_descriptors();
    ctl_harden();
    json_set_alloc_funcs(malloc, ctl_wipe_free);

    rc = ctl_run(&ctl, argc, (const char **) argv);

    ctl_store_close(&ctl);
    pinaud_keyring_free(ctl.ring);
    ctl_pool_free(&ctl);

    if ((fflush(stdout) != 0 || ferror(stdout)) && rc == CTL_DONE) {
        return ctl_fail(CTL_REFUSED, "cannot write to stdout");
    }

    return rc;
}


/*
 * What is closed would be a file or Redis's connection, once that is opened,
 * and get what is printed. To these nothing can be written, nor read from
 * them.
 */

static void
ctl_descriptors(void)
{
    int  fd;

    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) == -1
            && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY)
               != fd)
        {
            exit(CTL_REFUSED);
        }
    }
}


/*
 * A secret leaves neither in a core dump nor to a debugger. What can't be
 * written is an error, and no end.
 */

static void
ctl_harden(void)
{
    struct rlimit  none;

    none.rlim_cur = 0;
    none.rlim_max = 0;

    (void) setrlimit(RLIMIT_CORE, &none);
    (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void) signal(SIGPIPE, SIG_IGN);
    (void) signal(SIGXFSZ, SIG_IGN);
    (void) umask(077);
}


static int
ctl_run(ctl_t *ctl, int argc, const char **argv)
{
    int  help, rc;

    if (argc > 1 && strcmp(argv[1], "help") == 0) {
        return ctl_help(argc - 2, argv + 2);
    }

    rc = ctl_options_parse(ctl, argc, argv, &help);

    if (rc != CTL_DONE) {
        return rc;
    }

    if (!help) {
        return ctl->command->handler(ctl);
    }

    if (ctl->command != NULL) {
        ctl_help_command(ctl->command);
        return CTL_DONE;
    }

    return ctl_help((int) ctl->nargs, ctl->args);
}
