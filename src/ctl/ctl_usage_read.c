
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What is used of each limit: of credentials, accounts and teams, as Redis
 * counts it.
 */


#include <string.h>
#include "ctl_usage.h"
#include "pinaud_scripts.h"


/* One bucket: the first two of a credential, the others of an account. */

typedef struct {
    const char             *kind;
    const char             *title;
    const char             *credential;
    const char             *account;   /* or NULL */
    const char             *team;      /* or NULL */
    const char             *key;
    const char             *leased;    /* key of what is leased; or NULL */
    const char             *begins;    /* as which bucket; or NULL. Only where
                                          something may be leased */
    const pinaud_limits_t  *limits;
} ctl_bucket_t;


typedef size_t (*ctl_bucket_key_pt)(char *key, const char *credential,
    size_t credential_len, const char *account, size_t account_len);


static int ctl_usage_all(ctl_t *ctl, ctl_usage_t *usage);
static int ctl_usage_account(ctl_t *ctl, ctl_usage_t *usage, const char *id);
static int ctl_usage_credential(ctl_usage_t *usage,
    const ctl_credential_t *credential);
static void ctl_usage_cooldown(ctl_usage_t *usage,
    const ctl_credential_t *credential, const char *kind, const char *title,
    const ctl_cooldown_t *cooldown, uint64_t ends);
static int ctl_usage_buckets(ctl_usage_t *usage,
    const ctl_account_t *account);
static const char *ctl_usage_key(ctl_usage_t *usage,
    const ctl_account_t *account, ctl_bucket_key_pt make);
static int ctl_usage_team(ctl_usage_t *usage, const ctl_account_t *account,
    const ctl_team_t *team);
static int ctl_usage_shared(ctl_usage_t *usage, const ctl_account_t *account,
    const ctl_bucket_t *whole);
static int ctl_usage_pool(ctl_usage_t *usage, const ctl_bucket_t *bucket,
    const ctl_account_t *account, uint64_t n);
static int ctl_usage_bucket(ctl_usage_t *usage, const ctl_bucket_t *bucket);
static void ctl_usage_add(ctl_usage_t *usage, const ctl_bucket_t *bucket,
    const redisReply *reply);
static ctl_usage_line_t *ctl_usage_line(ctl_usage_t *usage, const char *title,
    const char *limit);


int
ctl_usage_read(ctl_t *ctl, ctl_usage_t *usage)
{
    int  rc;

    memset(usage, 0, sizeof(ctl_usage_t));

    usage->ctl = ctl;
    usage->array = json_array();

    rc = ctl->nargs ? ctl_usage_account(ctl, usage, ctl->args[0])
                    : ctl_usage_all(ctl, usage);

    if (rc != CTL_DONE) {
        json_decref(usage->array);
    }

    return rc;
}


static int
ctl_usage_all(ctl_t *ctl, ctl_usage_t *usage)
{
    int                rc;
    unsigned           i, n;
    ctl_account_t     *accounts;
    ctl_credential_t  *credentials;

    rc = ctl_credentials_read(ctl, 0, &credentials, &n);

    for (i = 0; rc == CTL_DONE && i < n; i++) {
        rc = ctl_usage_credential(usage, &credentials[i]);
    }

    if (rc == CTL_DONE) {
        rc = ctl_accounts_read(ctl, 0, &accounts, &n);
    }

    for (i = 0; rc == CTL_DONE && i < n; i++) {
        rc = ctl_usage_buckets(usage, &accounts[i]);
    }

    return rc;
}


static int
ctl_usage_account(ctl_t *ctl, ctl_usage_t *usage, const char *id)
{
    int                rc;
    ctl_account_t      account;
    ctl_credential_t   credential;

    rc = ctl_account_read(ctl, id, &account);

    if (rc == CTL_DONE && !account.exists) {
        return ctl_fail(CTL_REFUSED, "there is no account %s", id);
    }

    if (rc == CTL_DONE) {
        rc = ctl_credential_read(ctl, account.credential, &credential);
    }

    if (rc == CTL_DONE && credential.exists) {
        rc = ctl_usage_credential(usage, &credential);
    }

    return (rc == CTL_DONE) ? ctl_usage_buckets(usage, &account) : rc;
}


static int
ctl_usage_credential(ctl_usage_t *usage, const ctl_credential_t *credential)
{
    int             rc;
    const char     *name;
    ctl_bucket_t    bucket;
    ctl_cooldown_t  cooldown;

    name = credential->name;

    memset(&bucket, 0, sizeof(ctl_bucket_t));

    bucket.kind = "writes";
    bucket.title = ctl_format(usage->ctl, "credential %s", name);
    bucket.credential = name;
    bucket.key = ctl_key(usage->ctl, pinaud_key_writes, name);
    bucket.leased = ctl_key(usage->ctl, pinaud_key_leased_writes, name);
    bucket.limits = &credential->limits;

    rc = ctl_usage_bucket(usage, &bucket);

    if (rc != CTL_DONE) {
        return rc;
    }

    bucket.kind = "calls";
    bucket.title = ctl_format(usage->ctl, "credential %s, all calls", name);
    bucket.key = ctl_key(usage->ctl, pinaud_key_calls, name);
    bucket.leased = ctl_key(usage->ctl, pinaud_key_leased_calls, name);
    bucket.limits = &credential->limits_all;

    rc = ctl_usage_bucket(usage, &bucket);

    if (rc == CTL_DONE) {
        rc = ctl_cooldown_read(usage->ctl, credential, &cooldown);
    }

    if (rc == CTL_DONE) {
        ctl_usage_cooldown(usage, credential, "cooldown", "", &cooldown,
                           cooldown.writes);
        ctl_usage_cooldown(usage, credential, "cooldown-all", ", all calls",
                           &cooldown, cooldown.all);
    }

    return rc;
}


/* While it is in force it is a limit of which nothing is left. */

static void
ctl_usage_cooldown(ctl_usage_t *usage, const ctl_credential_t *credential,
    const char *kind, const char *title, const ctl_cooldown_t *cooldown,
    uint64_t ends)
{
    uint64_t           reset;
    const char        *name;
    ctl_usage_line_t  *line;

    if (ends == 0) {
        return;
    }

    name = credential->name;
    reset = ends - cooldown->now;

    line = ctl_usage_line(usage, ctl_format(usage->ctl, "credential %s%s",
                                            name, title),
                          "cooldown");
    line->limited = 1;
    line->reset = reset;

    ctl_json_append(usage->array,
        json_pack("{s:s, s:s, s:n, s:n, s:[{s:s, s:I, s:I}]}", "bucket", kind,
                  "credential", name, "account", "team", "limits",
                  "limit", "cooldown", "left", (json_int_t) 0,
                  "reset_ms", (json_int_t) reset));
}


static int
ctl_usage_buckets(ctl_usage_t *usage, const ctl_account_t *account)
{
    int           rc;
    unsigned      i;
    ctl_bucket_t  bucket;

    memset(&bucket, 0, sizeof(ctl_bucket_t));

    bucket.kind = "account";
    bucket.title = ctl_format(usage->ctl, "account %s", account->id);
    bucket.credential = account->credential;
    bucket.account = account->id;
    bucket.key = ctl_usage_key(usage, account, pinaud_key_account_bucket);
    bucket.leased = ctl_usage_key(usage, account, pinaud_key_leased);
    bucket.limits = &account->limits;

    rc = ctl_usage_bucket(usage, &bucket);

    if (rc == CTL_DONE && account->reserved) {
        rc = ctl_usage_shared(usage, account, &bucket);
    }

    for (i = 0; rc == CTL_DONE && i < account->nteams; i++) {
        rc = ctl_usage_team(usage, account, &account->teams[i]);
    }

    return rc;
}


static const char *
ctl_usage_key(ctl_usage_t *usage, const ctl_account_t *account,
    ctl_bucket_key_pt make)
{
    char    key[PINAUD_KEY_MAX];
    size_t  len;

    len = make(key, account->credential, strlen(account->credential),
               account->id, strlen(account->id));

    return ctl_copy(usage->ctl, key, len);
}


static int
ctl_usage_team(ctl_usage_t *usage, const ctl_account_t *account,
    const ctl_team_t *team)
{
    int           rc;
    char          key[PINAUD_KEY_MAX];
    size_t        id_len, len, name_len;
    ctl_bucket_t  bucket;

    memset(&bucket, 0, sizeof(ctl_bucket_t));

    id_len = strlen(account->id);
    name_len = strlen(account->credential);
    len = pinaud_key_team_bucket(key, account->credential, name_len,
                                 account->id, id_len, team->name,
                                 strlen(team->name));

    bucket.kind = "team";
    bucket.title = ctl_format(usage->ctl, "account %s, team %s", account->id,
                              team->name);
    bucket.credential = account->credential;
    bucket.account = account->id;
    bucket.team = team->name;
    bucket.key = ctl_copy(usage->ctl, key, len);
    bucket.limits = &team->limits;

    rc = ctl_usage_bucket(usage, &bucket);

    if (rc != CTL_DONE || team->reserve == 0) {
        return rc;
    }

    len = pinaud_key_reserve(key, account->credential, name_len, account->id,
                             id_len, team->name, strlen(team->name));

    bucket.kind = "reserve";
    bucket.title = ctl_format(usage->ctl, "%s, reserve", bucket.title);
    bucket.key = ctl_copy(usage->ctl, key, len);

    return ctl_usage_pool(usage, &bucket, account, team->reserve);
}


static int
ctl_usage_shared(ctl_usage_t *usage, const ctl_account_t *account,
    const ctl_bucket_t *whole)
{
    ctl_bucket_t           bucket;
    const pinaud_limit_t  *longest;

    memset(&bucket, 0, sizeof(ctl_bucket_t));

    longest = pinaud_limits_longest(&account->limits);

    if (longest == NULL) {
        return CTL_DONE;
    }

    bucket.kind = "shared";
    bucket.title = ctl_format(usage->ctl, "account %s, shared", account->id);
    bucket.credential = account->credential;
    bucket.account = account->id;
    bucket.key = ctl_usage_key(usage, account, pinaud_key_shared);
    bucket.leased = whole->leased;
    bucket.begins = whole->key;

    return ctl_usage_pool(usage, &bucket, account,
                          account->reserved < longest->n
                              ? longest->n - account->reserved : 0);
}


/* A part of the account's longest limit. */

static int
ctl_usage_pool(ctl_usage_t *usage, const ctl_bucket_t *bucket,
    const ctl_account_t *account, uint64_t n)
{
    ctl_bucket_t           pool;
    pinaud_limits_t        limits;
    const pinaud_limit_t  *longest;

    longest = pinaud_limits_longest(&account->limits);

    if (longest == NULL) {
        return CTL_DONE;
    }

    limits.count = 1;
    limits.limit[0].n = (unsigned) n;
    limits.limit[0].window = longest->window;

    pool = *bucket;
    pool.limits = &limits;

    return ctl_usage_bucket(usage, &pool);
}


static int
ctl_usage_bucket(ctl_usage_t *usage, const ctl_bucket_t *bucket)
{
    size_t        i;
    ctl_t        *ctl;
    redisReply   *reply;
    ctl_words_t  *words;

    ctl = usage->ctl;
    words = ctl_words(ctl, "EVAL", pinaud_script_usage,
                      bucket->begins ? "3" : bucket->leased ? "2" : "1",
                      bucket->key, NULL);

    if (bucket->leased) {
        ctl_word(ctl, words, bucket->leased);
    }

    if (bucket->begins) {
        ctl_word(ctl, words, bucket->begins);
    }

    ctl_word(ctl, words, ctl_limits_record(ctl, bucket->limits));

    reply = ctl_ask(ctl, words, REDIS_REPLY_ARRAY);

    if (reply == NULL) {
        return CTL_STORE;
    }

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER) {
            break;
        }
    }

    if (i != reply->elements || i != bucket->limits->count * 4) {
        return ctl_fail(CTL_STORE, "Redis at %s does not tell what is used of "
                        "%s", ctl->redis_name, bucket->key);
    }

    ctl_usage_add(usage, bucket, reply);

    return CTL_DONE;
}


static void
ctl_usage_add(ctl_usage_t *usage, const ctl_bucket_t *bucket,
    const redisReply *reply)
{
    ctl_t             *ctl;
    json_t            *limits;
    unsigned           i;
    const char        *text;
    pinaud_limits_t    one;
    ctl_usage_line_t  *line;

    ctl = usage->ctl;
    limits = json_array();

    for (i = 0; i < bucket->limits->count; i++) {

        one.count = 1;
        one.limit[0] = bucket->limits->limit[i];
        text = ctl_limits_text(ctl, &one);

        line = ctl_usage_line(usage, bucket->title, text);
        line->counted = 1;
        line->limited = 1;
        line->n = (uint64_t) reply->element[i * 4]->integer;
        line->used = (uint64_t) reply->element[i * 4 + 2]->integer;
        line->reset = (uint64_t) reply->element[i * 4 + 3]->integer;
        line->left = (line->used < line->n) ? line->n - line->used : 0;

        ctl_json_append(limits,
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "limit", text,
                      "n", (json_int_t) line->n,
                      "window", (json_int_t) one.limit[0].window,
                      "used", (json_int_t) line->used,
                      "left", (json_int_t) line->left,
                      "reset_ms", (json_int_t) line->reset));
    }

    if (bucket->limits->count == 0) {
        (void) ctl_usage_line(usage, bucket->title, "none");
    }

    ctl_json_append(usage->array,
        json_pack("{s:s, s:s, s:s?, s:s?, s:o}", "bucket", bucket->kind,
                  "credential", bucket->credential, "account",
                  bucket->account, "team", bucket->team, "limits", limits));
}


static ctl_usage_line_t *
ctl_usage_line(ctl_usage_t *usage, const char *title, const char *limit)
{
    ctl_usage_line_t  *line, *lines;

    if (usage->nlines == usage->room) {
        usage->room = usage->room ? usage->room * 2 : 32;
        lines = ctl_alloc(usage->ctl, sizeof(ctl_usage_line_t) * usage->room);

        if (usage->nlines) {
            memcpy(lines, usage->lines,
                   sizeof(ctl_usage_line_t) * usage->nlines);
        }

        usage->lines = lines;
    }

    line = &usage->lines[usage->nlines++];
    line->title = title;
    line->limit = limit;

    return line;
}
