
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include "audience_case.h"
#include "pinaud_problem.h"


#define URN  "urn:pinaud:problem:"


/* The document of a body's errors, with ' for ". */

static void
expect_document(unsigned flags, const char *text, const char *expected)
{
    char             *body, *want, *got;
    json_t           *document;
    audience_case_t   run;

    body = audience_quotes(text);
    audience_run(&run, flags, body, strlen(body));

    document = pinaud_problem_document(PINAUD_PROBLEM_INVALID_BODY, 0, NULL,
                                       "0af1", 4, &run.verdict);
    assert_non_null(document);

    got = json_dumps(document, JSON_COMPACT);
    want = audience_quotes(expected);
    assert_string_equal(got, want);

    json_decref(document);
    audience_free(&run);
    free(body);
    free(want);
    free(got);
}


static void
test_errors(void **state)
{
    (void) state;

    expect_document(0,
        "{'name':'N','sharing_type':'CUSTOM','rule':"
        "{'seed_id':['1'],'percentage':30}}",

        "{'type':'" URN "invalid-body','title':'The audience is not valid',"
        "'status':400,'detail':'2 errors in the request body','code':1,"
        "'message':'2 errors in the request body: /rule/percentage must be "
        "1 to 10; /data_party is required','request_id':'0af1','errors':["
        "{'pointer':'/rule/percentage','code':'range','detail':"
        "'must be 1 to 10'},"
        "{'pointer':'/data_party','code':'required','detail':'is required'}]}");

    expect_document(0, "{'name':",

        "{'type':'" URN "invalid-body','title':'The audience is not valid',"
        "'status':400,'detail':'1 error in the request body','code':1,"
        "'message':'1 error in the request body: at byte 8: ends too early',"
        "'request_id':'0af1','errors':[{'pointer':'','code':'syntax',"
        "'detail':'ends too early','offset':8}]}");

    expect_document(0, "{'name':'\\ud800'}",

        "{'type':'" URN "invalid-body','title':'The audience is not valid',"
        "'status':400,'detail':'1 error in the request body','code':1,"
        "'message':'1 error in the request body: at byte 9: has a lone "
        "surrogate in a string','request_id':'0af1','errors':[{'pointer':'',"
        "'code':'encoding','detail':'has a lone surrogate in a string',"
        "'offset':9}]}");

    expect_document(0, "[]",

        "{'type':'" URN "invalid-body','title':'The audience is not valid',"
        "'status':400,'detail':'1 error in the request body','code':1,"
        "'message':'1 error in the request body: it must be an object',"
        "'request_id':'0af1','errors':[{'pointer':'','code':'type',"
        "'detail':'must be an object'}]}");

    /* a name with a colon does not shorten the detail */

    expect_document(CREATE,
        "{'name':'N','rule':{'ad_id':['1']},'audience_type':'ENGAGEMENT',"
        "'a:\xC3\xA9':1}",

        "{'type':'" URN "invalid-body','title':'The audience is not valid',"
        "'status':400,'detail':'1 error in the request body','code':1,"
        "'message':'1 error in the request body: /a:\xC3\xA9 is not a known "
        "member','request_id':'0af1','errors':[{'pointer':'/a:\xC3\xA9',"
        "'code':'unknown','detail':'is not a known member'}]}");
}


static void
test_bounds(void **state)
{
    int              i, j, n;
    char             body[20000], *p;
    json_t          *document, *errors;
    const char      *message;
    audience_case_t  run;

    (void) state;

    /* long names in many errors: the message names four, the list has 32 */

    p = body + sprintf(body, "{\"name\":\"N\"");

    for (i = 0; i < 40; i++) {
        p += sprintf(p, ",\"%c", 'a' + i % 26);

        for (j = 0; j < 253; j++) {
            p += sprintf(p, "%c", 'a' + i / 26);
        }

        p += sprintf(p, "\":1");
    }

    sprintf(p, "}");

    audience_run(&run, 0, body, strlen(body));

    document = pinaud_problem_document(PINAUD_PROBLEM_INVALID_BODY, 0, NULL,
                                       NULL, 0, &run.verdict);
    assert_non_null(document);
    assert_null(json_object_get(document, "request_id"));

    errors = json_object_get(document, "errors");
    assert_int_equal(json_array_size(errors), 32);
    assert_int_equal(json_integer_value(json_object_get(document,
                                                        "errors_omitted")),
                     40 + 3 - 32);
    assert_string_equal(json_string_value(json_object_get(document, "detail")),
                        "43 errors in the request body");

    message = json_string_value(json_object_get(document, "message"));
    assert_true(strlen(message) < 2000);
    assert_non_null(strstr(message, "; and 39 more"));

    for (n = 0, i = 0; message[i] != '\0'; i++) {
        n += (message[i] == ';');
    }

    assert_int_equal(n, 4);

    json_decref(document);
    audience_free(&run);
}


static void
test_table(void **state)
{
    static const struct {
        pinaud_problem_e  id;
        const char       *type;
        unsigned          status;
        int               code;
        const char       *outcome;
        unsigned          retry;
    } tests[] = {
        { PINAUD_PROBLEM_INVALID_BODY, URN "invalid-body", 400, 1,
          "invalid", 0 },
        { PINAUD_PROBLEM_INVALID_PATH, URN "invalid-path", 400, 1,
          "invalid", 0 },
        { PINAUD_PROBLEM_UNKNOWN_CALLER, URN "unknown-caller", 401, 2,
          "unauthenticated", 0 },
        { PINAUD_PROBLEM_FORBIDDEN, URN "forbidden", 403, 29,
          "forbidden", 0 },
        { PINAUD_PROBLEM_NOT_FOUND, URN "not-found", 404, 404,
          "unmatched", 0 },
        { PINAUD_PROBLEM_METHOD_NOT_ALLOWED, URN "method-not-allowed", 405, 5,
          "unmatched", 0 },
        { PINAUD_PROBLEM_TOO_LARGE, URN "too-large", 413, 1, "invalid", 0 },
        { PINAUD_PROBLEM_UNSUPPORTED_MEDIA_TYPE, URN "unsupported-media-type",
          415, 1, "invalid", 0 },
        { PINAUD_PROBLEM_QUOTA_EXCEEDED, "https://iana.org/assignments/"
          "http-problem-types#quota-exceeded", 429, 8, "over_quota", 1 },
        { PINAUD_PROBLEM_UPSTREAM_UNREACHABLE, URN "upstream-unreachable",
          502, 502, "not_sent", 1 },
        { PINAUD_PROBLEM_OUTCOME_UNKNOWN, URN "outcome-unknown", 504, 504,
          "unknown", 0 },
        { PINAUD_PROBLEM_CREDENTIAL_UNAVAILABLE, URN "credential-unavailable",
          503, 503, "no_credential", 1 },
        { PINAUD_PROBLEM_STORE_UNAVAILABLE, URN "store-unavailable", 503, 503,
          "store_down", 1 },
        { PINAUD_PROBLEM_INTERNAL, URN "internal", 500, 500, "error", 0 },
    };

    size_t                   i;
    json_t                  *document;
    const pinaud_problem_t  *problem;

    (void) state;

    assert_int_equal(sizeof(tests) / sizeof(tests[0]), PINAUD_PROBLEMS);

    for (i = 0; i < PINAUD_PROBLEMS; i++) {
        problem = pinaud_problem(tests[i].id);

        assert_string_equal(problem->type, tests[i].type);
        assert_int_equal(problem->status, tests[i].status);
        assert_int_equal(problem->code, tests[i].code);
        assert_string_equal(problem->outcome, tests[i].outcome);
        assert_int_equal(problem->retry, tests[i].retry);

        document = pinaud_problem_document(tests[i].id, 0, NULL, NULL, 0,
                                           NULL);
        assert_non_null(document);
        assert_string_equal(json_string_value(json_object_get(document,
                            "type")), problem->type);
        assert_string_equal(json_string_value(json_object_get(document,
                            "detail")), problem->title);
        assert_string_equal(json_string_value(json_object_get(document,
                            "message")), problem->title);
        assert_null(json_object_get(document, "errors"));
        json_decref(document);
    }

    document = pinaud_problem_document(PINAUD_PROBLEM_INTERNAL, 413,
                                       "what happened", "id", 2, NULL);
    assert_int_equal(json_integer_value(json_object_get(document, "status")),
                     413);
    assert_int_equal(json_integer_value(json_object_get(document, "code")),
                     413);
    assert_string_equal(json_string_value(json_object_get(document, "detail")),
                        "what happened");
    assert_string_equal(json_string_value(json_object_get(document,
                        "message")), "what happened");
    assert_string_equal(json_string_value(json_object_get(document,
                        "request_id")), "id");
    json_decref(document);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
