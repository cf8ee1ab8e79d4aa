
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Names of what Redis holds. Every key of a credential carries its name as
 * hash tag, so that a script that decides touches one slot of a cluster.
 */


#ifndef _PINAUD_KEYS_H_INCLUDED_
#define _PINAUD_KEYS_H_INCLUDED_


#include <stddef.h>


#pragma GCC visibility push(hidden)


#define PINAUD_NAME_MAX     64     /* of a credential or a team */
#define PINAUD_ACCOUNT_MAX  18     /* digits of an ad account's id */
#define PINAUD_KEY_MAX      256    /* of any key, with its zero */

#define PINAUD_RECORD_FORMAT  "1"


/* Whether these bytes are a credential's or team's name, an account's id. */
int pinaud_is_name(const unsigned char *name, size_t len);
int pinaud_is_account(const unsigned char *id, size_t len);


/*
 * Each writes a key and its zero to "to", of PINAUD_KEY_MAX bytes, and
 * returns the key's length. Names and ids are checked before, by the above.
 */

/* pinaud:credential:{NAME}  hash: what a gateway may read of a credential */
size_t pinaud_key_credential(char *to, const char *name, size_t len);

/* pinaud:secret:{NAME}  hash: what only the agent and the operator read */
size_t pinaud_key_secret(char *to, const char *name, size_t len);

/* pinaud:calls:{NAME}, pinaud:writes:{NAME}  the credential's own buckets */
size_t pinaud_key_calls(char *to, const char *name, size_t len);
size_t pinaud_key_writes(char *to, const char *name, size_t len);

/* pinaud:bucket:{NAME}:ID, pinaud:bucket:{NAME}:ID:TEAM */
size_t pinaud_key_account_bucket(char *to, const char *name, size_t len,
    const char *account, size_t account_len);
size_t pinaud_key_team_bucket(char *to, const char *name, size_t len,
    const char *account, size_t account_len, const char *team,
    size_t team_len);

/* pinaud:version:{NAME}  string: of the last token of what was deleted */
size_t pinaud_key_version(char *to, const char *name, size_t len);

/* pinaud:cooldown:{NAME}  hash: until when Pinterest wants no calls */
size_t pinaud_key_cooldown(char *to, const char *name, size_t len);

/*
 * pinaud:leased-calls:{NAME}, pinaud:leased-writes:{NAME},
 * pinaud:leased:{NAME}:ID  buckets of units that gateways hold beforehand
 */
size_t pinaud_key_leased_calls(char *to, const char *name, size_t len);
size_t pinaud_key_leased_writes(char *to, const char *name, size_t len);
size_t pinaud_key_leased(char *to, const char *name, size_t len,
    const char *account, size_t account_len);

/* pinaud:lease:{NAME}:ID:LEASE  what one gateway holds of an account */
size_t pinaud_key_lease(char *to, const char *name, size_t len,
    const char *account, size_t account_len, const char *lease,
    size_t lease_len);

/* pinaud:reserve:{NAME}:ID:TEAM  bucket of a team's reserve on the account */
size_t pinaud_key_reserve(char *to, const char *name, size_t len,
    const char *account, size_t account_len, const char *team,
    size_t team_len);

/* pinaud:shared:{NAME}:ID  bucket of what no team of the account reserves */
size_t pinaud_key_shared(char *to, const char *name, size_t len,
    const char *account, size_t account_len);

/* pinaud:refund:{NAME}:ID  mark that a charge was given back */
size_t pinaud_key_refund(char *to, const char *name, size_t len,
    const char *id, size_t id_len);

/* pinaud:account:ID  hash: an account's policy */
size_t pinaud_key_account(char *to, const char *account, size_t account_len);

/* pinaud:team-key:SHA256  hash: which team has the key; the hash in hex */
size_t pinaud_key_team_key(char *to, const char *hex, size_t len);

/* pinaud:accounts:{NAME}  set: accounts that refer to a credential */
size_t pinaud_key_credential_accounts(char *to, const char *name, size_t len);

/* sets of all credentials' names, accounts' ids, team keys' hashes */
#define PINAUD_KEY_CREDENTIALS  "pinaud:credentials"
#define PINAUD_KEY_ACCOUNTS     "pinaud:accounts"
#define PINAUD_KEY_TEAM_KEYS    "pinaud:team-keys"

/* hash: credentials of which a newer access token is wanted */
#define PINAUD_KEY_WANTED       "pinaud:wanted"


#pragma GCC visibility pop


#endif /* _PINAUD_KEYS_H_INCLUDED_ */
