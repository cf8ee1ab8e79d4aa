
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The client of Pinterest's token endpoint. Calls run side by side in one
 * thread, while ctl_oauth_wait() waits.
 *
 * A request is sent once at most: connections are not used again, and its body
 * can't be read twice, so libcurl never repeats one by itself. TLS is verified,
 * redirects are not followed; there are no cookies, no .netrc, no proxy from
 * the environment.
 *
 * Secrets are copied when a call begins. What libcurl and jansson hold of them
 * is wiped when they free it; what libssl has in its buffers is not.
 */


#ifndef _CTL_OAUTH_H_INCLUDED_
#define _CTL_OAUTH_H_INCLUDED_


#include "ctl.h"
#include "ctl_oauth_answer.h"


/* Options of a command that talks to the token endpoint. */

#define CTL_OAUTH_OPTIONS                                                     \
                                                                              \
    { .name = "token-url", .arg = "URL", .env = "PINAUD_TOKEN_URL",           \
      .help = "Pinterest's token endpoint, unless it is another" },           \
                                                                              \
    { .name = "ca-file", .arg = "FILE", .env = "PINAUD_CA_FILE",              \
      .help = "who may vouch for it, not the system's" },                     \
                                                                              \
    { .name = "proxy", .arg = "URL", .env = "PINAUD_PROXY",                   \
      .help = "http://host:port; there is none unless told" },                \
                                                                              \
    { .name = "connect-timeout", .arg = "T",                                  \
      .env = "PINAUD_CONNECT_TIMEOUT",                                        \
      .help = "for name, connection and TLS; 5s" },                           \
                                                                              \
    { .name = "timeout", .arg = "T", .env = "PINAUD_TIMEOUT",                 \
      .help = "for all of a call; 30s" }


typedef struct ctl_oauth_s  ctl_oauth_t;


/*
 * Reads the settings, which the command's options have to hold. One at a time
 * in a process; "to" is the caller's to close. Returns an exit code, and has
 * told why.
 */
int ctl_oauth_open(ctl_t *ctl, ctl_oauth_t **to);

/* Drops what is in flight: whether it was carried out is then not known. */
void ctl_oauth_close(ctl_oauth_t *oauth);

/*
 * Keeps a call, with what may follow it, within so many ms: shortens the
 * timeouts, unless they were given. 0; -1: they are longer.
 */
int ctl_oauth_within(ctl_t *ctl, ctl_oauth_t *oauth, uint64_t ms);

/*
 * Begin a call. "data" is told with its answer. -1: out of memory, nothing was
 * or will be sent.
 */
int ctl_oauth_refresh(ctl_oauth_t *oauth, const char *client_id,
    const char *client_secret, const char *refresh, void *data);
int ctl_oauth_exchange(ctl_oauth_t *oauth, const char *client_id,
    const char *client_secret, const char *code, const char *redirect_uri,
    void *data);

/* How many are in flight, or have an answer that nobody took. */
unsigned ctl_oauth_calls(const ctl_oauth_t *oauth);

/*
 * Runs what is in flight until a call ends, "ms" have passed or "fd" (unless
 * it is -1) can be read. Returns an answer, which the caller gives to
 * ctl_oauth_answer_free(), or NULL.
 */
ctl_oauth_answer_t *ctl_oauth_wait(ctl_oauth_t *oauth, unsigned ms, int fd,
    void **data);
void ctl_oauth_answer_free(ctl_oauth_answer_t *answer);


#endif /* _CTL_OAUTH_H_INCLUDED_ */
