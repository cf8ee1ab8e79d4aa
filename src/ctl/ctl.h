
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * pinaudctl: what its files share. Everything that a command makes lives in
 * the pool of its context, which is wiped and freed when the command ends.
 * A function that fails has told why on stderr and returns the exit code.
 */


#ifndef _CTL_H_INCLUDED_
#define _CTL_H_INCLUDED_


#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <hiredis/hiredis.h>
#include <jansson.h>
#include "pinaud_keys.h"
#include "pinaud_limits.h"
#include "pinaud_seal.h"
#include "pinaud_url.h"


/* Exit codes. */

#define CTL_DONE     0
#define CTL_REFUSED  1
#define CTL_USAGE    2
#define CTL_STORE    3

#define CTL_MANY         1000000   /* arguments of a command: any number */
#define CTL_SECRET_MAX   8192      /* bytes of a token or a secret */
#define CTL_FILE_MAX     (16 * 1024 * 1024)
#define CTL_FINGERPRINT  9         /* its eight digits and a zero */


typedef struct ctl_s           ctl_t;
typedef struct ctl_block_s     ctl_block_t;
typedef struct ctl_words_s     ctl_words_t;
typedef struct ctl_store_s     ctl_store_t;
typedef struct ctl_ahead_s     ctl_ahead_t;
typedef struct ctl_move_s      ctl_move_t;
typedef struct ctl_guard_s     ctl_guard_t;
typedef struct ctl_change_s    ctl_change_t;
typedef struct ctl_table_s     ctl_table_t;
typedef struct ctl_account_s   ctl_account_t;


/* An option: a flag where it takes no argument. */

typedef struct {
    const char           *name;
    const char           *arg;
    const char           *help;
    const char           *env;         /* or told by this variable */
    unsigned              repeated:1;
} ctl_option_t;


typedef struct {
    const char           *noun;
    const char           *verb;        /* NULL: the noun is all */
    const char           *args;        /* as help shows them */
    unsigned              min;         /* how many */
    unsigned              max;
    const ctl_option_t   *options;     /* up to one without a name; or NULL */
    int                 (*handler)(ctl_t *ctl);
    const char           *summary;     /* one line */
    const char           *details;     /* of the command's own help; or NULL */
} ctl_command_t;


typedef struct {
    const ctl_option_t   *option;
    const char           *value;       /* "" of a flag */
} ctl_given_t;


struct ctl_s {
    const ctl_command_t  *command;
    const char          **args;
    unsigned              nargs;
    ctl_given_t          *given;
    unsigned              ngiven;
    unsigned              json:1;
    unsigned              stdin_read:1;

    ctl_block_t          *pool;

    ctl_store_t          *store;       /* NULL: not open */
    const char           *redis_name;  /* what was tried, for messages */
    ctl_ahead_t          *ahead;       /* what was asked for; or NULL */

    pinaud_keyring_t     *ring;        /* of policy; NULL: MACs don't count */

    /* what a transaction is going to do */
    ctl_words_t          *queue;
    ctl_words_t         **queue_last;
    ctl_move_t           *moves;
    ctl_guard_t          *guards;      /* of a cluster */
    ctl_change_t         *changes;
    ctl_change_t        **changes_last;
};


/* ctl_main.c, ctl_help.c */

extern const ctl_command_t  *const ctl_nouns[];   /* up to NULL; each table
                                                     up to one without noun */
extern const ctl_option_t  ctl_globals[];

/* "help" and what follows it; CTL_USAGE where there is no such command. */
int ctl_help(int argc, const char **argv);
void ctl_help_command(const ctl_command_t *command);
int ctl_is_noun(const char *noun);


/* ctl_options.c */

/*
 * Reads what follows the command's words into ctl, which refers to it; help:
 * --help was given, and the number of arguments is not looked at. Returns an
 * exit code, and has told why.
 */
int ctl_options_parse(ctl_t *ctl, int argc, const char **argv, int *help);

/* The value of an option that was given, or NULL. */
const char *ctl_given(ctl_t *ctl, const char *name);

/* The next one at or after *i, for those that may be repeated. */
const char *ctl_given_next(ctl_t *ctl, const char *name, unsigned *i);

/*
 * As given, else from the environment, else from the file of settings: of the
 * command's options and of those that all commands have.
 */
const char *ctl_setting(ctl_t *ctl, const char *name);

/* Reads a number of seconds. */
int ctl_seconds(const char *option, const char *text, uint64_t *value);

/* Reads a time such as 30s, 10m or 500ms: up to a day, in milliseconds. */
int ctl_duration(const char *option, const char *text, uint64_t *ms);

/* Reads a reserve, 0 for none; "named" says whether one was given. */
int ctl_reserve_given(ctl_t *ctl, const char *option, unsigned *reserve,
    int *named);

/* Checks a name or an id that was given. */
int ctl_check_name(const char *what, const char *name);
int ctl_check_account(const char *id);


/*
 * ctl_pool.c: memory that is wiped and freed with the pool, or by
 * ctl_pool_release(). None returns NULL: without memory the process ends.
 */

/* Filled with zeros. */
void *ctl_alloc(ctl_t *ctl, size_t size);
char *ctl_format(ctl_t *ctl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
char *ctl_copy(ctl_t *ctl, const char *text, size_t len);

/* A copy without what a terminal would obey. */
char *ctl_printable(ctl_t *ctl, const char *text, size_t len);
const char *ctl_number(ctl_t *ctl, uint64_t number);

/* Has the pool free a reply, too; NULL stays NULL. */
redisReply *ctl_own(ctl_t *ctl, redisReply *reply);
void ctl_pool_free(ctl_t *ctl);

/* Memory of libraries that may have held a secret. */
void ctl_wipe_free(void *memory);

/* Frees what was made since the mark: for commands that go on and on. */
ctl_block_t *ctl_pool_mark(ctl_t *ctl);
void ctl_pool_release(ctl_t *ctl, ctl_block_t *mark);


/* ctl_output.c */

/* Tells on stderr what is wrong, and returns "code". */
int ctl_fail(int code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints a secret, and keeps no copy. */
int ctl_print_secret(const char *text, size_t len);

ctl_table_t *ctl_table(ctl_t *ctl, const char *column, ...)
    __attribute__((sentinel));
void ctl_row(ctl_table_t *table, ...);   /* a string for each column */

/* Prints the table, or with --json the array, which is given up. */
void ctl_print(ctl_t *ctl, ctl_table_t *table, json_t *array);

/* Prints a value and gives it up; or in one line. */
void ctl_print_json(json_t *value);
void ctl_print_json_line(json_t *value);

/* "1, 2, 3", and how many more where there are many. */
const char *ctl_some(ctl_t *ctl, const char **names, unsigned n);

/* Adds a value to an array, and gives it up. */
void ctl_json_append(json_t *array, json_t *value);

/* A JSON string or null. */
json_t *ctl_json_text(const char *text);

/* Seconds since the epoch in UTC; 0 is "not known". */
const char *ctl_time(ctl_t *ctl, uint64_t seconds);

/* "3d 4h" */
const char *ctl_span(ctl_t *ctl, uint64_t ms);


/* ctl_file.c */

/*
 * Reads a whole file, "-" for stdin, of at most "max" bytes. A zero stands
 * behind what was read.
 */
int ctl_file_read(ctl_t *ctl, const char *path, size_t max, char **text,
    size_t *len);

/* Reads a line of stdin, which ends with a zero instead of its newline. */
int ctl_line_read(ctl_t *ctl, size_t max, char **line);

/* The file that an option names: a token or a secret without its newline. */
int ctl_secret_read(ctl_t *ctl, const char *option, const char *path,
    char **text, size_t *len);

/* The first digits of a secret's SHA-256. */
void ctl_fingerprint(const unsigned char *secret, size_t len, char *to);

/* The seal key file's name, where there has to be one. */
int ctl_keyring_path(ctl_t *ctl, const char **path);

/* The ring of the seal key file; required says whether there has to be one. */
int ctl_keyring(ctl_t *ctl, int required, pinaud_keyring_t **ring);

/* The same for what writes: a gateway's file is refused. */
int ctl_keyring_master(ctl_t *ctl, pinaud_keyring_t **ring);


/* ctl_unseal.c */

/*
 * Opens a value of a credential's records: kind, name and version are those of
 * its associated data. The text ends with a zero and lives in the pool.
 */
pinaud_open_e ctl_unseal(ctl_t *ctl, pinaud_keyring_t *ring,
    pinaud_domain_e domain, const char *kind, const char *name,
    uint64_t version, const unsigned char *sealed, size_t sealed_len,
    char **text, size_t *len);


/* ctl_limits.c */

/*
 * The limits that an option tells. Returns an exit code; "named" says
 * whether there were any, "none" too.
 */
int ctl_limits_given(ctl_t *ctl, const char *option, pinaud_limits_t *limits,
    int *named);

/* "400/60s 100/1s", or "none" */
const char *ctl_limits_text(ctl_t *ctl, const pinaud_limits_t *limits);
json_t *ctl_limits_json(ctl_t *ctl, const pinaud_limits_t *limits);
const char *ctl_limits_record(ctl_t *ctl, const pinaud_limits_t *limits);

/* A reserve as a number, or NULL where there is none. */
const char *ctl_reserve_text(ctl_t *ctl, unsigned reserve);
int ctl_limits_equal(const pinaud_limits_t *one, const pinaud_limits_t *two);

/* What a tier stands for; 0 when there is no such tier. */
int ctl_limits_tier(const char *tier, pinaud_limits_t *limits,
    pinaud_limits_t *limits_all);


/* ctl_store.c */

/* Whether what is told of the store is enough to open it. */
int ctl_store_check(ctl_t *ctl);

/* Connects. Returns an exit code, and has told why. */
int ctl_store_open(ctl_t *ctl);

/* Wipes what it knows, too; may be called at any time. */
void ctl_store_close(ctl_t *ctl);

/* A command's words, up to a NULL. */
ctl_words_t *ctl_words(ctl_t *ctl, ...) __attribute__((sentinel));
void ctl_word(ctl_t *ctl, ctl_words_t *words, const char *text);
void ctl_word_bytes(ctl_t *ctl, ctl_words_t *words, const void *bytes,
    size_t len);

/* Asks, and expects this type of reply; NULL after a failure. */
redisReply *ctl_ask(ctl_t *ctl, ctl_words_t *words, int type);

/*
 * Asks for the values of so many fields of a key: as many strings, or NIL of
 * what is not there. NULL after a failure, also where the server says anything
 * else.
 */
redisReply *ctl_ask_values(ctl_t *ctl, ctl_words_t *words, const char *key,
    size_t n);

/* Seconds by Redis's clock. */
int ctl_store_time(ctl_t *ctl, uint64_t *now);

/* The same in milliseconds. */
int ctl_store_time_ms(ctl_t *ctl, uint64_t *now);


/* ctl_transaction.c */

/*
 * Calls "plan", which watches and reads what it needs, plans changes and
 * queues commands; then does all of them at once. Where somebody changed
 * what was watched, the plan is made anew.
 */
int ctl_transact(ctl_t *ctl, int (*plan)(ctl_t *ctl, void *data), void *data);

/* For a plan: WATCH. Returns an exit code, and has told why. */
int ctl_watch(ctl_t *ctl, const char *key);
int ctl_watch_keys(ctl_t *ctl, const char **keys, unsigned n);

/* A command of the transaction. */
void ctl_queue(ctl_t *ctl, ctl_words_t *words);

/* Forgets all commands, for a plan that is only told. */
void ctl_queue_drop(ctl_t *ctl);

/* Plans to carry an account's counts to another credential. */
void ctl_queue_move(ctl_t *ctl, const ctl_account_t *account,
    const char *credential);


/* ctl_change.c: what a command changes, for its report */

/*
 * Begins what changes of one thing: kind and name, action "created",
 * "changed" or "deleted"; "of" is a team's account, or NULL. One that is
 * only "changed" and has no fields is not reported.
 */
ctl_change_t *ctl_change(ctl_t *ctl, const char *kind, const char *name,
    const char *of, const char *action);

/* Adds a field; nothing where both say the same. NULL: there is none. */
void ctl_change_field(ctl_t *ctl, ctl_change_t *change, const char *name,
    const char *before, const char *after);

/* Whether there is anything to report. */
int ctl_changed(ctl_t *ctl);

/* Prints all of them; "would" of changes that are only planned. */
void ctl_report(ctl_t *ctl, int would);


/* ctl_record.c: records as Redis holds them */

/* What became of the last attempt to refresh a credential's tokens. */

typedef enum {
    CTL_STATE_OK = 0,
    CTL_STATE_RETRYING,                /* it failed, and is tried again */
    CTL_STATE_UNAUTHORIZED,            /* its refresh token is refused */
    CTL_STATE_WRONG_CLIENT             /* the app's id or secret is */
} ctl_state_e;


typedef struct {
    const char           *name;
    unsigned              exists:1;
    const char           *tier;
    pinaud_limits_t       limits;
    pinaud_limits_t       limits_all;
    uint64_t              version;     /* 0: no token yet */
    uint64_t              expires;
    const char           *scope;       /* or NULL */
    const unsigned char  *token;       /* sealed; NULL: there is none */
    size_t                token_len;
    uint64_t              refresh_expires;   /* a copy of the secret's */
    ctl_state_e           state;
    const char           *reason;      /* of the state, or NULL */
} ctl_credential_t;


/* Until when a credential rests, in ms of Redis's time; 0: it does not. */

typedef struct {
    uint64_t              now;
    uint64_t              writes;
    uint64_t              all;
} ctl_cooldown_t;


typedef struct {
    unsigned              exists:1;
    unsigned              client_secret:1;   /* there is one */
    unsigned              refresh:1;
    const char           *client_id;   /* or NULL */
    uint64_t              refresh_version;
    uint64_t              refresh_expires;
    const unsigned char  *sealed_refresh;    /* NULL: there is none */
    size_t                sealed_refresh_len;
    const unsigned char  *sealed_client;     /* the client secret */
    size_t                sealed_client_len;
    const char           *attempt;     /* that stands, or NULL */
    uint64_t              failures;    /* of attempts, in a row */
    uint64_t              failed;      /* when the last of them did */
    uint64_t              refreshed;   /* when an attempt last succeeded */
    uint64_t              demands;     /* in a row, of tokens that never were
                                          good for a gateway */
} ctl_secret_t;


typedef struct {
    const char           *name;
    pinaud_limits_t       limits;
    unsigned              reserve;     /* 0: none */
    const redisReply     *mac;         /* as the record has it, or NULL */
    unsigned              forged:1;    /* it is none of this */
} ctl_team_t;


struct ctl_account_s {
    const char           *id;
    unsigned              exists:1;
    const char           *credential;  /* NULL where it does not exist */
    pinaud_limits_t       limits;
    unsigned              reserved;    /* as the record has it */
    ctl_team_t           *teams;       /* by name */
    unsigned              nteams;
    const redisReply     *mac;         /* likewise */
    unsigned              forged:1;
};


/* Each reads one; what is not there has "exists" 0 and is no failure. */
int ctl_credential_read(ctl_t *ctl, const char *name,
    ctl_credential_t *credential);

/* Where one that is not there yet goes on from: versions never go back. */
int ctl_credential_version_read(ctl_t *ctl, ctl_credential_t *credential);

/* Likewise; values stay sealed: ctl_unseal() opens them. */
int ctl_secret_record_read(ctl_t *ctl, const char *name,
    ctl_secret_t *secret);
int ctl_account_read(ctl_t *ctl, const char *id, ctl_account_t *account);

/* The state's word in a record: "ok", "retrying", ... */
const char *ctl_state_name(ctl_state_e state);

/* NULL: the account has no such team. */
ctl_team_t *ctl_account_team(const ctl_account_t *account, const char *name);

/* Orders teams by name, as they are when read. */
int ctl_team_compare(const void *one, const void *two);

/* The sum of all teams' reserves. */
uint64_t ctl_account_reserves(const ctl_account_t *account);

/* Why reserves and limits do not go together; NULL where they do. */
const char *ctl_account_reserves_wrong(ctl_t *ctl,
    const ctl_account_t *account);

/* A field of a record's hash, or NULL. */
const redisReply *ctl_record_field(const redisReply *hash, const char *name);

/* Key of a thing, in the pool. */
const char *ctl_key(ctl_t *ctl, size_t (*make)(char *to, const char *name,
    size_t len), const char *name);


/* ctl_mac.c: what shows that policy was written by who has the seal key */

/*
 * Loads ctl->ring: what writes has to have the key, and a master; what reads
 * checks MACs where it has one.
 */
int ctl_mac_keys(ctl_t *ctl, int write);

/* Finds an account's and its teams' MACs, and sets "forged". */
void ctl_mac_check(ctl_t *ctl, const redisReply *hash,
    ctl_account_t *account);

/* The MAC for the fields as they are going to be written. */
const char *ctl_mac_account(ctl_t *ctl, const ctl_account_t *account,
    const char *limits, const char *reserved);
const char *ctl_mac_team(ctl_t *ctl, const ctl_account_t *account,
    const char *team, const char *value);

/* Whether it or one of its teams is; or refuses to build upon it. */
unsigned ctl_account_forged(const ctl_account_t *account);
int ctl_account_check(const ctl_account_t *account);


/* ctl_cooldown.c */

/* Returns an exit code; all 0 where there is no cooldown. */
int ctl_cooldown_read(ctl_t *ctl, const ctl_credential_t *credential,
    ctl_cooldown_t *cooldown);

/* "until 2026-11-24T10:00:00Z (in 12.3s)", or NULL of 0. */
const char *ctl_cooldown_text(ctl_t *ctl, const ctl_cooldown_t *cooldown,
    uint64_t ends);


/* ctl_set.c: all records of a kind */

/* Members of a set, sorted; each passes "check". */
int ctl_members(ctl_t *ctl, const char *key,
    int (*check)(const unsigned char *text, size_t len),
    const char ***members, unsigned *n);

/* All there are; those a set names and nobody holds are left out. */
int ctl_credentials_read(ctl_t *ctl, int watch, ctl_credential_t **all,
    unsigned *n);
int ctl_accounts_read(ctl_t *ctl, int watch, ctl_account_t **all,
    unsigned *n);


/* ctl_team_key_record.c */

typedef struct {
    const char           *hex;         /* its SHA-256 */
    const char           *prefix;      /* or digits of that, of a damaged
                                          record */
    const char           *team;        /* "-" of a damaged record */
    uint64_t              created;     /* seconds since 1970; 0: not known */
    const char           *mac;
    size_t                mac_len;
    unsigned              exists:1;
    unsigned              damaged:1;
} ctl_team_key_t;

/* "ready", "damaged", "not checked" without a ring, "unknown key", "altered" */
const char *ctl_team_key_state(pinaud_keyring_t *ring,
    const ctl_team_key_t *key);

/* All keys there are, or those of a team. */
int ctl_team_keys_read(ctl_t *ctl, const char *team, ctl_team_key_t **keys,
    unsigned *n);

/* "team NAME has 2 keys: …, …", of all these keys; NULL: it has none. */
const char *ctl_team_keys_text(ctl_t *ctl, const char *team,
    const ctl_team_key_t *keys, unsigned n);


/* ctl_plan.c: from what is to what shall be */

/* Limits and tier; "after" NULL: deleted. Tokens are the command's own. */
ctl_change_t *ctl_plan_credential(ctl_t *ctl, const ctl_credential_t *before,
    const ctl_credential_t *after);

/*
 * An account and all its teams; "after" NULL: deleted. What was forged gets a
 * MAC where it is not in "after", too.
 */
void ctl_plan_account(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after);

/* The same, or a refusal where its reserves are more than its limit. */
int ctl_plan_account_checked(ctl_t *ctl, const ctl_account_t *before,
    const ctl_account_t *after);

/* Copies an account with room for one more team; sets or drops a team. */
void ctl_account_copy(ctl_t *ctl, ctl_account_t *to,
    const ctl_account_t *from, unsigned more);
ctl_team_t *ctl_account_put_team(ctl_account_t *account, const char *name);
void ctl_account_drop_team(ctl_account_t *account, const char *name);


/* One table of commands for each noun. */

extern const ctl_command_t  ctl_seal_key_commands[];
extern const ctl_command_t  ctl_credential_commands[];
extern const ctl_command_t  ctl_account_commands[];
extern const ctl_command_t  ctl_team_commands[];
extern const ctl_command_t  ctl_team_key_commands[];
extern const ctl_command_t  ctl_policy_commands[];
extern const ctl_command_t  ctl_usage_commands[];
extern const ctl_command_t  ctl_cooldown_commands[];
extern const ctl_command_t  ctl_validate_commands[];
extern const ctl_command_t  ctl_agent_commands[];
extern const ctl_command_t  ctl_doctor_commands[];

int ctl_credential_put(ctl_t *ctl);
int ctl_credential_list(ctl_t *ctl);
int ctl_credential_show(ctl_t *ctl);
int ctl_credential_refresh(ctl_t *ctl);


#endif /* _CTL_H_INCLUDED_ */
