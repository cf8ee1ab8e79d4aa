
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The commands of an admission, as they go to Redis.
 */


#include "ngx_pinaud.h"


#define NGX_PINAUD_ADMIT_ARGS  (3 + NGX_PINAUD_KEYS + 7)


static size_t ngx_pinaud_command_place(const size_t *lens, ngx_uint_t argc,
    ngx_uint_t n);
static size_t ngx_pinaud_command_digits(size_t n);


static const char  *ngx_pinaud_mode_words[NGX_PINAUD_MODES] = {
    [NGX_PINAUD_CHARGE_WRITE] = "charge",
    [NGX_PINAUD_PEEK_WRITE] = "peek",
    [NGX_PINAUD_CHARGE_READ] = "charge",
    [NGX_PINAUD_REPORT_WRITE] = "report",
    [NGX_PINAUD_REPORT_READ] = "report"
};


ngx_int_t
ngx_pinaud_command_admit(ngx_pinaud_policy_t *policy, ngx_pinaud_mode_e mode,
    const ngx_pinaud_script_t *script, ngx_uint_t whole,
    ngx_pinaud_command_t *command)
{
    int          n;
    char         keys[NGX_PINAUD_KEYS][PINAUD_KEY_MAX], nkeys[2], *text;
    size_t       lens[NGX_PINAUD_ADMIT_ARGS];
    ngx_uint_t   argc, deadline, id, count, i, k;
    const char  *args[NGX_PINAUD_ADMIT_ARGS];

    args[0] = whole ? "EVAL" : "EVALSHA";
    lens[0] = ngx_strlen(args[0]);
    args[1] = whole ? script->text : (char *) script->sha1;
    lens[1] = whole ? script->text_len : sizeof(script->sha1);

    k = ngx_pinaud_command_keys(policy, mode, keys, &lens[3]);

    args[2] = nkeys;
    lens[2] = ngx_pinaud_digits((u_char *) nkeys, k) - (u_char *) nkeys;

    for (i = 0; i < k; i++) {
        args[3 + i] = keys[i];
    }

    argc = 3 + k;

    args[argc] = ngx_pinaud_mode_words[mode];
    lens[argc] = ngx_strlen(args[argc]);
    argc++;

    deadline = argc;
    args[argc] = "0000000000000";
    lens[argc++] = NGX_PINAUD_DEADLINE_LEN;

    id = argc;
    args[argc] = "00000000000000000000000000000000";
    lens[argc++] = NGX_PINAUD_ID_LEN;

    args[argc] = (char *) policy->account_limits;
    lens[argc++] = policy->account_limits_len;
    args[argc] = (char *) policy->team_limits;
    lens[argc++] = policy->team_limits_len;

    count = argc;
    args[argc] = "01";
    lens[argc++] = NGX_PINAUD_COUNT_LEN;

    args[argc] = (char *) policy->reserves;
    lens[argc++] = policy->reserves_len;

    n = redisFormatCommandArgv(&text, argc, args, lens);
    if (n < 0) {
        return NGX_ERROR;
    }

    command->data = ngx_alloc(n, ngx_cycle->log);

    if (command->data) {
        ngx_memcpy(command->data, text, n);
        command->len = n;
        command->deadline = ngx_pinaud_command_place(lens, argc, deadline);
        command->id = ngx_pinaud_command_place(lens, argc, id);
        command->count = ngx_pinaud_command_place(lens, argc, count);
    }

    redisFreeCommand(text);

    return command->data ? NGX_OK : NGX_ERROR;
}


/* Where the n-th argument is: behind "*ARGC", each behind its "$LEN". */

static size_t
ngx_pinaud_command_place(const size_t *lens, ngx_uint_t argc, ngx_uint_t n)
{
    size_t      at;
    ngx_uint_t  i;

    at = sizeof("*" CRLF) - 1 + ngx_pinaud_command_digits(argc);

    for (i = 0; i < n; i++) {
        at += sizeof("$" CRLF CRLF) - 1 + ngx_pinaud_command_digits(lens[i])
              + lens[i];
    }

    return at + sizeof("$" CRLF) - 1 + ngx_pinaud_command_digits(lens[n]);
}


static size_t
ngx_pinaud_command_digits(size_t n)
{
    u_char  digits[NGX_INT64_LEN];

    return ngx_pinaud_digits(digits, n) - digits;
}


ngx_uint_t
ngx_pinaud_command_keys(ngx_pinaud_policy_t *policy, ngx_pinaud_mode_e mode,
    char (*keys)[PINAUD_KEY_MAX], size_t *lens)
{
    char    *account, *credential, *team;
    size_t   account_len, len, team_len;

    credential = (char *) policy->credential;
    len = policy->credential_len;
    account = (char *) policy->account;
    account_len = policy->account_len;
    team = (char *) policy->team;
    team_len = policy->team_len;

    lens[0] = pinaud_key_credential(keys[0], credential, len);
    lens[1] = pinaud_key_calls(keys[1], credential, len);

    if (mode == NGX_PINAUD_CHARGE_READ || mode == NGX_PINAUD_REPORT_READ) {
        lens[2] = pinaud_key_leased_calls(keys[2], credential, len);
        lens[3] = pinaud_key_cooldown(keys[3], credential, len);

        return 4;
    }

    lens[2] = pinaud_key_writes(keys[2], credential, len);
    lens[3] = pinaud_key_account_bucket(keys[3], credential, len, account,
                                        account_len);
    lens[4] = pinaud_key_team_bucket(keys[4], credential, len, account,
                                     account_len, team, team_len);
    lens[5] = pinaud_key_reserve(keys[5], credential, len, account,
                                 account_len, team, team_len);
    lens[6] = pinaud_key_shared(keys[6], credential, len, account,
                                account_len);

    lens[7] = pinaud_key_leased_calls(keys[7], credential, len);
    lens[8] = pinaud_key_leased_writes(keys[8], credential, len);
    lens[9] = pinaud_key_leased(keys[9], credential, len, account,
                                account_len);
    lens[10] = pinaud_key_cooldown(keys[10], credential, len);

    return NGX_PINAUD_KEYS;
}
