
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What the token endpoint answers.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ctl_oauth_answer.h"


static ctl_oauth_answer_t  answer;


static void
answers(unsigned status, const char *body)
{
    memset(&answer, 0, sizeof(answer));
    ctl_oauth_answer_read(&answer, status, body, strlen(body));
}


static void
grants(void **state)
{
    (void) state;

    answers(200, "{\"access_token\": \"pina_A\", \"token_type\": \"bearer\","
                 " \"expires_in\": 2592000, \"scope\": \"ads:read ads:write\","
                 " \"response_type\": \"refresh_token\","
                 " \"refresh_token\": \"pinr.B\","
                 " \"refresh_token_expires_in\": 5184000,"
                 " \"refresh_token_expires_at\": 1800000000}");

    assert_int_equal(answer.outcome, CTL_OAUTH_GRANTED);
    assert_string_equal(answer.access, "pina_A");
    assert_int_equal(answer.access_len, 6);
    assert_string_equal(answer.refresh, "pinr.B");
    assert_int_equal(answer.refresh_len, 6);
    assert_int_equal(answer.expires_in, 2592000);
    assert_int_equal(answer.refresh_expires_in, 5184000);
    assert_string_equal(answer.scope, "ads:read ads:write");
    assert_string_equal(answer.reason, "");

    assert_int_equal(ctl_oauth_refresh_expires(&answer, 1000), 5185000);

    answer.refresh_expires_in = 0;
    assert_int_equal(ctl_oauth_refresh_expires(&answer, 1799999990),
                     1800000000);
    assert_int_equal(ctl_oauth_refresh_expires(&answer, 1800000000), 0);
    assert_int_equal(ctl_oauth_refresh_expires(&answer, 1), 0);
}


/* Less than all of it, as older versions answer. */

static void
grants_less(void **state)
{
    size_t  i;

    static const char  *const bodies[] = {
        "{\"access_token\": \"pina_A\"}",
        "{\"access_token\": \"pina_A\", \"token_type\": \"BEARER\"}",
        "{\"access_token\": \"pina_A\", \"refresh_token\": null}",
        "{\"access_token\": \"pina_A\", \"refresh_token\": \"\"}",
        "{\"access_token\": \"pina_A\", \"expires_in\": \"soon\"}",
        "{\"access_token\": \"pina_A\", \"expires_in\": -1}",
        "{\"access_token\": \"pina_A\", \"expires_in\": 0}",
        "{\"access_token\": \"pina_A\", \"expires_in\": {}}",
        "{\"access_token\": \"pina_A\", \"expires_in\": 1e300}",
        "{\"access_token\": \"pina_A\", \"expires_in\": \"99999999999999999999"
        "\"}",
        "{\"access_token\": \"pina_A\", \"scope\": 7, \"code\": 2}",
    };

    (void) state;

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        answers(200, bodies[i]);
        assert_int_equal(answer.outcome, CTL_OAUTH_GRANTED);
        assert_string_equal(answer.access, "pina_A");
        assert_int_equal(answer.refresh_len, 0);
        assert_int_equal(answer.expires_in, 0);
        assert_int_equal(ctl_oauth_refresh_expires(&answer, 1), 0);
        assert_string_equal(answer.scope, "");
    }
}


static void
lifetimes(void **state)
{
    size_t  i;

    static const struct {
        const char  *text;
        uint64_t     seconds;
    } cases[] = {
        { "60", 60 }, { "\"60\"", 60 }, { "60.9", 60 }, { "\"60s\"", 0 },
        { "\" 60\"", 0 }, { "\"\"", 0 }, { "true", 0 },
        { "9000000000", CTL_LIFETIME_MAX },
        { "\"9000000000\"", CTL_LIFETIME_MAX },
    };

    char  body[256];

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(body, sizeof(body), "{\"access_token\":\"a\","
                 "\"expires_in\":%s}", cases[i].text);
        answers(200, body);
        assert_int_equal(answer.outcome, CTL_OAUTH_GRANTED);
        assert_int_equal(answer.expires_in, cases[i].seconds);
    }
}


/* Nothing of an answer that can't be used is left. */

static void
useless(void **state)
{
    size_t  i;

    static const struct {
        unsigned     status;
        const char  *body;
    } cases[] = {
        { 200, "" },
        { 200, "<html>pina_A</html>" },
        { 200, "[\"access_token\"]" },
        { 200, "{" },
        { 200, "{} {}" },
        { 200, "{}" },
        { 204, "" },
        { 200, "{\"access_token\": 7}" },
        { 200, "{\"access_token\": \"\"}" },
        { 200, "{\"access_token\": \"a b\"}" },
        { 200, "{\"access_token\": \"a\\r\\nX: y\"}" },
        { 200, "{\"access_token\": \"a\\u0000\"}" },
        { 200, "{\"access_token\": \"\\u00e4\"}" },
        { 200, "{\"access_token\": \"a\\u007f\"}" },
        { 200, "{\"access_token\": \"a\", \"token_type\": \"mac\"}" },
        { 200, "{\"access_token\": \"a\", \"token_type\": null}" },
        { 200, "{\"access_token\": \"a\", \"refresh_token\": \"b c\"}" },
        { 200, "{\"access_token\": \"a\", \"refresh_token\": 1}" },
        { 500, "{\"access_token\": \"a\"}" },
        { 503, "" },
        { 302, "{\"access_token\": \"a\"}" },
        { 404, "{\"code\": 404, \"message\": \"Not found.\"}" },
        { 401, "<html>" },
        { 401, "" },
        { 401, "{}" },
        { 400, "{\"code\": \"1\"}" },
        { 403, "Forbidden" },
        { 409, "{\"code\": 12, \"message\": \"\"}" },
        { 0, "" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        answers(cases[i].status, cases[i].body);
        assert_int_equal(answer.outcome, CTL_OAUTH_UNKNOWN);
        assert_int_equal(answer.status, cases[i].status);
        assert_int_equal(answer.access_len, 0);
        assert_string_equal(answer.access, "");
        assert_int_equal(answer.refresh_len, 0);
        assert_string_not_equal(answer.reason, "");
    }
}


static void
lengths(void **state)
{
    char    *body;
    size_t   i, len;

    static const struct {
        size_t               len;
        ctl_oauth_outcome_e  outcome;
    } cases[] = {
        { CTL_TOKEN_MAX, CTL_OAUTH_GRANTED },
        { CTL_TOKEN_MAX + 1, CTL_OAUTH_UNKNOWN },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        body = malloc(cases[i].len + 64);
        len = (size_t) sprintf(body, "{\"access_token\": \"");
        memset(body + len, 'x', cases[i].len);
        strcpy(body + len + cases[i].len, "\"}");

        answers(200, body);
        assert_int_equal(answer.outcome, cases[i].outcome);
        free(body);
    }

    body = malloc(CTL_SCOPE_MAX + 64);
    len = (size_t) sprintf(body, "{\"access_token\": \"a\", \"scope\": \"");
    memset(body + len, 's', CTL_SCOPE_MAX + 1);
    strcpy(body + len + CTL_SCOPE_MAX + 1, "\"}");

    answers(200, body);
    assert_int_equal(answer.outcome, CTL_OAUTH_GRANTED);
    assert_string_equal(answer.scope, "");
    free(body);
}


static void
refusals(void **state)
{
    size_t  i;

    static const struct {
        unsigned              status;
        const char           *body;
        ctl_oauth_outcome_e   outcome;
    } cases[] = {
        { 400, "{\"error\": \"invalid_grant\"}", CTL_OAUTH_REFUSED },
        { 401, "{\"error\": \"invalid_grant\"}", CTL_OAUTH_REFUSED },
        { 401, "{\"error\": \"invalid_client\"}", CTL_OAUTH_WRONG_CLIENT },
        { 400, "{\"error\": \"unauthorized_client\"}",
          CTL_OAUTH_WRONG_CLIENT },
        { 400, "{\"error\": \"invalid_scope\"}", CTL_OAUTH_REFUSED },
        { 401, "{\"error\": \"else\"}", CTL_OAUTH_UNTOLD },
        { 400, "{\"error\": \"temporarily_unavailable\"}",
          CTL_OAUTH_UNKNOWN },
        { 401, "{\"code\": 2, \"message\": \"Authentication failed.\"}",
          CTL_OAUTH_UNTOLD },
        { 400, "{\"code\": 1, \"message\": \"Invalid\"}", CTL_OAUTH_REFUSED },
        { 403, "{\"code\": 29}", CTL_OAUTH_REFUSED },
        { 429, "{\"code\": 8}", CTL_OAUTH_LATER },
        { 429, "<html>", CTL_OAUTH_LATER },
        { 429, "", CTL_OAUTH_LATER },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        answers(cases[i].status, cases[i].body);
        assert_int_equal(answer.outcome, cases[i].outcome);
        assert_string_not_equal(answer.reason, "");
    }
}


static void
probes(void **state)
{
    size_t  i;

    static const struct {
        unsigned              status;
        ctl_oauth_outcome_e   outcome;
        const char           *reason;
    } cases[] = {
        { 400, CTL_OAUTH_REFUSED, "Pinterest answers 401, code 2: No. "
          "(the app's id and secret seem to be good)" },
        { 401, CTL_OAUTH_WRONG_CLIENT, "Pinterest answers 401, code 2: No. "
          "(the app's id or secret seems to be wrong)" },
        { 500, CTL_OAUTH_REFUSED, "Pinterest answers 401, code 2: No. "
          "(the token, or the app's id or secret)" },
        { 0, CTL_OAUTH_REFUSED, "Pinterest answers 401, code 2: No. "
          "(the token, or the app's id or secret)" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        answers(401, "{\"code\": 2, \"message\": \"No.\"}");
        ctl_oauth_answer_probed(&answer, cases[i].status);
        assert_int_equal(answer.outcome, cases[i].outcome);
        assert_string_equal(answer.reason, cases[i].reason);
    }
}


/* What others wrote is shown without what may be a token or a command. */

static void
reasons(void **state)
{
    char  body[2048], text[1001];

    (void) state;

    answers(400, "{\"code\": 1, \"message\": \"'pinr_0123456789abcdefghij' is"
                 " no token\\u001b[2J\\n\\u00e4.\"}");
    assert_string_equal(answer.reason, "Pinterest answers 400, code 1: '***' "
                        "is no token?[2J???.");

    answers(400, "{\"error\": \"invalid_grant\", \"error_description\":"
                 " \"dead: c2VjcmV0%3Ac2VjcmV0c2VjcmV0+/=\"}");
    assert_string_equal(answer.reason, "Pinterest answers 400, invalid_grant: "
                        "dead: ***");

    answers(400, "{\"code\": 1, \"message\": \"pinterest's token=pinr_x, pina,"
                 " not pin\"}");
    assert_string_equal(answer.reason, "Pinterest answers 400, code 1: "
                        "pinterest's ***, ***, not pin");

    answers(400, "{\"error\": \"pinr_0123456789abcdefghij\"}");
    assert_string_equal(answer.reason, "Pinterest answers 400, an error that "
                        "is not known");

    memset(text, 'a', 1000);
    text[1000] = '\0';
    ctl_oauth_answer_quote(&answer, "what", text);
    assert_string_equal(answer.reason, "what: ***");

    ctl_oauth_answer_reason(&answer, "no host token-endpoint.corp.example\n");
    assert_string_equal(answer.reason, "no host token-endpoint.corp.example?");

    memset(text, ' ', 1000);
    snprintf(body, sizeof(body), "{\"code\": 1, \"message\": \"%s\"}", text);
    answers(401, body);
    assert_int_equal(strlen(answer.reason), CTL_REASON_MAX - 1);

    ctl_oauth_answer_probed(&answer, 400);
    assert_non_null(strstr(answer.reason, "seem to be good)"));
}


static void
scopes(void **state)
{
    (void) state;

    assert_true(ctl_oauth_scope_has("ads:write", "ads:write"));
    assert_true(ctl_oauth_scope_has("ads:read ads:write", "ads:write"));
    assert_true(ctl_oauth_scope_has("ads:read,ads:write", "ads:write"));
    assert_true(ctl_oauth_scope_has(" , ads:write ,", "ads:write"));
    assert_false(ctl_oauth_scope_has("", "ads:write"));
    assert_false(ctl_oauth_scope_has("ads:writer", "ads:write"));
    assert_false(ctl_oauth_scope_has("xads:write ads:writ", "ads:write"));
}


static void
encodes(void **state)
{
    char  to[64], *end;

    (void) state;

    end = ctl_oauth_encode(to, "Az09-._~ +/=&%:\xff");
    assert_string_equal(to, "Az09-._~%20%2B%2F%3D%26%25%3A%FF");
    assert_ptr_equal(end, to + strlen(to));

    assert_ptr_equal(ctl_oauth_encode(to, ""), to);
    assert_string_equal(to, "");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(grants),
        cmocka_unit_test(grants_less),
        cmocka_unit_test(lifetimes),
        cmocka_unit_test(useless),
        cmocka_unit_test(lengths),
        cmocka_unit_test(refusals),
        cmocka_unit_test(probes),
        cmocka_unit_test(reasons),
        cmocka_unit_test(scopes),
        cmocka_unit_test(encodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
