
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Whatever the token endpoint answers: either there is an access token that a
 * header may hold, or there is none and a reason that a terminal may show. The
 * first byte chooses the status. The same bytes as what somebody pastes of a
 * browser's address.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "ctl_oauth_answer.h"
#include "ctl_redirect.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_check(int good)
{
    if (!good) {
        abort();
    }
}


static void
fuzz_visible(const char *text, size_t len, char least)
{
    size_t  i;

    fuzz_check(strlen(text) == len);

    for (i = 0; i < len; i++) {
        fuzz_check(text[i] >= least && text[i] < 0x7f);
    }
}


static void
fuzz_answer(const uint8_t *data, size_t size)
{
    ctl_oauth_answer_t  answer;

    static const unsigned  statuses[] = { 200, 200, 400, 401, 403, 429, 500 };

    memset(&answer, 0, sizeof(ctl_oauth_answer_t));

    ctl_oauth_answer_read(&answer,
                          statuses[data[0] % (sizeof(statuses)
                                              / sizeof(statuses[0]))],
                          (const char *) data + 1, size - 1);

    fuzz_visible(answer.access, answer.access_len, 0x21);
    fuzz_visible(answer.refresh, answer.refresh_len, 0x21);
    fuzz_visible(answer.scope, strlen(answer.scope), 0x20);
    fuzz_visible(answer.reason, strlen(answer.reason), 0x20);

    fuzz_check((answer.outcome == CTL_OAUTH_GRANTED)
               == (answer.access_len != 0));
    fuzz_check((answer.outcome == CTL_OAUTH_GRANTED)
               == (answer.reason[0] == '\0'));
    fuzz_check(answer.expires_in <= CTL_LIFETIME_MAX
               && answer.refresh_expires_in <= CTL_LIFETIME_MAX);
    fuzz_check(answer.outcome != CTL_OAUTH_NOT_SENT);

    if (answer.outcome == CTL_OAUTH_UNTOLD) {
        ctl_oauth_answer_probed(&answer, data[0] & 0x80 ? 400 : 401);
        fuzz_visible(answer.reason, strlen(answer.reason), 0x20);
        fuzz_check(answer.outcome != CTL_OAUTH_UNTOLD);
    }
}


static void
fuzz_redirect(const uint8_t *data, size_t size)
{
    char            *text;
    ctl_redirect_t   redirect;

    text = malloc(size + 1);
    fuzz_check(text != NULL);

    memcpy(text, data, size);
    text[size] = '\0';

    if (ctl_redirect_read(text, &redirect) == NULL) {
        fuzz_check(redirect.code != NULL || redirect.error != NULL);
    }

    free(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }

    fuzz_answer(data, size);
    fuzz_redirect(data, size);

    return 0;
}
