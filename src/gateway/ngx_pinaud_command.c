
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The commands of an admission, as they go to Redis.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_ADMIT_ARGS  13


static const char  *ngx_pinaud_mode_words[NGX_PINAUD_MODES] = {
    [NGX_PINAUD_CHARGE_WRITE] = "charge",
    [NGX_PINAUD_PEEK_WRITE] = "peek",
    [NGX_PINAUD_CHARGE_READ] = "charge",
    [NGX_PINAUD_REPORT_WRITE] = "report",
    [NGX_PINAUD_REPORT_READ] = "report"
};


/*
 * The command as it goes out, but for deadline and id, which have a fixed
 * length: formatted once a policy and then only copied.
 */

ngx_int_t
ngx_pinaud_command_template(ngx_pinaud_policy_t *policy,
    ngx_pinaud_main_conf_t *pmcf, ngx_pinaud_mode_e mode)
{
    int         n;
    char       *command;
    ngx_str_t  *template;

    n = ngx_pinaud_command_admit(policy, mode, "EVALSHA",
                                    (char *) pmcf->admit.sha1,
                                  sizeof(pmcf->admit.sha1),
                                    &command, &policy->deadline_at[mode],
                                    &policy->id_at[mode]);
    if (n < 0) {
        return NGX_ERROR;
    }

    template = &policy->commands[mode];

    template->data = ngx_alloc(n, ngx_cycle->log);
    if (template->data != NULL) {
        ngx_memcpy(template->data, command, n);
        template->len = n;
    }

    redisFreeCommand(command);

    return template->data ? NGX_OK : NGX_ERROR;
}


int
ngx_pinaud_command_admit(ngx_pinaud_policy_t *policy,
    ngx_pinaud_mode_e mode, const char *verb, const char *script,
    size_t script_len, char **command, size_t *deadline_at, size_t *id_at)
{
    int          n;
    char         keys[5][PINAUD_KEY_MAX], nkeys[2];
    size_t       lens[NGX_PINAUD_ADMIT_ARGS], at;
    u_char       digits[NGX_INT_T_LEN];
    ngx_uint_t   argc, deadline, i, k;
    const char  *args[NGX_PINAUD_ADMIT_ARGS];

    k = ngx_pinaud_command_keys(policy, mode, keys, &lens[3]);

    for (i = 0; i < k; i++) {
        args[3 + i] = keys[i];
    }

    nkeys[0] = '0' + k;

    args[0] = verb;
    lens[0] = ngx_strlen(verb);
    args[1] = script;
    lens[1] = script_len;
    args[2] = nkeys;
    lens[2] = 1;

    argc = 3 + k;

    args[argc] = ngx_pinaud_mode_words[mode];
    lens[argc] = ngx_strlen(args[argc]);
    argc++;

    deadline = argc;
    args[argc] = "0000000000000";
    lens[argc++] = NGX_PINAUD_DEADLINE_LEN;
    args[argc] = "00000000000000000000000000000000";
    lens[argc++] = NGX_PINAUD_ID_LEN;

    args[argc] = (char *) policy->account_limits;
    lens[argc++] = policy->account_limits_len;
    args[argc] = (char *) policy->team_limits;
    lens[argc++] = policy->team_limits_len;

    n = redisFormatCommandArgv(command, argc, args, lens);
    if (n < 0) {
        return n;
    }

    /* "*N" and "$LEN" with their CRLF, and each argument with its own */

    at = ngx_sprintf(digits, "%ui", argc) - digits + 3;

    for (i = 0; i < deadline; i++) {
        at += ngx_sprintf(digits, "%uz", lens[i]) - digits + 3 + lens[i] + 2;
    }

    *deadline_at = at + sizeof("$13" CRLF) - 1;
    *id_at = *deadline_at + NGX_PINAUD_DEADLINE_LEN
             + sizeof(CRLF "$32" CRLF) - 1;

    return n;
}


ngx_uint_t
ngx_pinaud_command_keys(ngx_pinaud_policy_t *policy, ngx_pinaud_mode_e mode,
    char (*keys)[PINAUD_KEY_MAX], size_t *lens)
{
    char    *credential, *account;
    size_t   len;

    credential = (char *) policy->credential;
    len = policy->credential_len;
    account = (char *) policy->account;

    lens[0] = pinaud_key_credential(keys[0], credential, len);
    lens[1] = pinaud_key_calls(keys[1], credential, len);

    if (mode == NGX_PINAUD_CHARGE_READ || mode == NGX_PINAUD_REPORT_READ) {
        return 2;
    }

    lens[2] = pinaud_key_writes(keys[2], credential, len);
    lens[3] = pinaud_key_account_bucket(keys[3], credential, len, account,
                                        policy->account_len);
    lens[4] = pinaud_key_team_bucket(keys[4], credential, len, account,
                                     policy->account_len,
                                     (char *) policy->team, policy->team_len);
    return 5;
}
