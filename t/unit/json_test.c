
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "pinaud_json.h"


#define TEXT(text)  text, sizeof(text) - 1

#define OK  -1


typedef struct {
    const char  *text;
    size_t       len;
    int          failure;          /* OK, or pinaud_json_failure_e */
    size_t       offset;
} json_case_t;


/* A copy without a byte to spare, for the address sanitizer. */

static unsigned char *
json_copy(const char *text, size_t len)
{
    unsigned char  *copy;

    copy = malloc(len);

    if (len) {
        memcpy(copy, text, len);
    }

    return copy;
}


static void
json_expect(const json_case_t *test)
{
    pinaud_json_t         json;
    unsigned char        *copy;
    pinaud_json_token_e   token;

    copy = json_copy(test->text, test->len);
    pinaud_json_init(&json, copy, test->len);

    do {
        token = pinaud_json_next(&json);
    } while (token != PINAUD_JSON_END && token != PINAUD_JSON_ERROR);

    /* both come for ever */

    assert_int_equal(pinaud_json_next(&json), token);

    if (test->failure == OK) {

        if (token != PINAUD_JSON_END) {
            fail_msg("%s is refused: %s at %zu", test->text, json.detail,
                     json.offset);
        }

    } else {

        if (token != PINAUD_JSON_ERROR) {
            fail_msg("%s is accepted", test->text);
        }

        if (test->failure != (int) json.failure || test->offset != json.offset)
        {
            fail_msg("%s: %d at %zu, not %d at %zu: %s", test->text,
                     json.failure, json.offset, test->failure, test->offset,
                     json.detail);
        }

        assert_non_null(json.detail);
    }

    free(copy);
}


static void
json_run(const json_case_t *tests, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        json_expect(&tests[i]);
    }
}


#define RUN(tests)  json_run(tests, sizeof(tests) / sizeof(tests[0]))


static void
test_grammar(void **state)
{
    static const json_case_t  tests[] = {
        { TEXT("{}"), OK, 0 },
        { TEXT("[]"), OK, 0 },
        { TEXT(" \t\r\n{ \t\r\n} \t\r\n"), OK, 0 },
        { TEXT("{\"a\":[1,{},\"\",true,false,null,[]]}"), OK, 0 },
        { TEXT("[ 1 , 2 ]"), OK, 0 },
        { TEXT("{ \"a\" : 1 , \"b\" : 2 }"), OK, 0 },
        { TEXT("\"s\""), OK, 0 },
        { TEXT("0"), OK, 0 },
        { TEXT("null"), OK, 0 },
        { TEXT(""), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("  "), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("{"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("}"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("["), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("[1"), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("[1}"), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("[}"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("{]"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("{\"a\":1]"), PINAUD_JSON_SYNTAX, 6 },
        { TEXT("{\"a\""), PINAUD_JSON_SYNTAX, 4 },
        { TEXT("{\"a\" 1}"), PINAUD_JSON_SYNTAX, 5 },
        { TEXT("{\"a\":"), PINAUD_JSON_SYNTAX, 5 },
        { TEXT("{\"a\":}"), PINAUD_JSON_SYNTAX, 5 },
        { TEXT("{\"a\":1"), PINAUD_JSON_SYNTAX, 6 },
        { TEXT("{\"a\":1,"), PINAUD_JSON_SYNTAX, 7 },
        { TEXT("{\"a\":1,}"), PINAUD_JSON_SYNTAX, 7 },
        { TEXT("{,}"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("{\"a\":1,,\"b\":2}"), PINAUD_JSON_SYNTAX, 7 },
        { TEXT("{\"a\":1 \"b\":2}"), PINAUD_JSON_SYNTAX, 7 },
        { TEXT("[1,]"), PINAUD_JSON_SYNTAX, 3 },
        { TEXT("[,1]"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("[1 2]"), PINAUD_JSON_SYNTAX, 3 },
        { TEXT("[1:2]"), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("{1:2}"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("{a:2}"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("{'a':2}"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("{null:2}"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("{} {}"), PINAUD_JSON_SYNTAX, 3 },
        { TEXT("{},"), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("{}\0"), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("{}x"), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("// c\n{}"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("{}/* c */"), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("[1/**/]"), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("{\"a\":# c\n1}"), PINAUD_JSON_SYNTAX, 5 },
        { TEXT("\v{}"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("\f{}"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("{\0}"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\xC2\xA0{}"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("True"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("tru"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("[nul]"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("truex"), PINAUD_JSON_SYNTAX, 4 },
        { TEXT("[true1]"), PINAUD_JSON_SYNTAX, 5 },
        { TEXT("NaN"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("[nan]"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("Infinity"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("[-Infinity]"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("[undefined]"), PINAUD_JSON_SYNTAX, 1 },
    };

    (void) state;

    RUN(tests);
}


static void
test_numbers(void **state)
{
    static const json_case_t  tests[] = {
        { TEXT("-0"), OK, 0 },
        { TEXT("10"), OK, 0 },
        { TEXT("0.5"), OK, 0 },
        { TEXT("-0.0e-0"), OK, 0 },
        { TEXT("1E+2"), OK, 0 },
        { TEXT("116.10"), OK, 0 },
        { TEXT("1e00000000000000000000000000000000000000001"), OK, 0 },
        { TEXT("12345678901234567890123456789012345678901234567890"), OK, 0 },

        { TEXT("01"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("-01"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("00"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("00.5"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("[1,007]"), PINAUD_JSON_SYNTAX, 3 },
        { TEXT("-"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("--1"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("+1"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT(".5"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("-.5"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("1."), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("[1.]"), PINAUD_JSON_SYNTAX, 3 },
        { TEXT("1.e5"), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("1e"), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("1e+"), PINAUD_JSON_SYNTAX, 3 },
        { TEXT("1e1.5"), PINAUD_JSON_SYNTAX, 3 },
        { TEXT("1.5.5"), PINAUD_JSON_SYNTAX, 3 },
        { TEXT("0x10"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("1_000"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("1a"), PINAUD_JSON_SYNTAX, 1 },

        /* what a double can hold */

        { TEXT("1e308"), OK, 0 },
        { TEXT("1e309"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("-1e309"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("[1,1e400]"), PINAUD_JSON_SYNTAX, 3 },
        { TEXT("1.7976931348623157e308"), OK, 0 },
        { TEXT("1.7976931348623158e308"), OK, 0 },
        { TEXT("1.7976931348623159e308"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("17.976931348623158e307"), OK, 0 },
        { TEXT("17.976931348623159e307"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("0.0017976931348623158e311"), OK, 0 },
        { TEXT("0.0017976931348623159e311"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("1e99999999999999999999999999"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("0e99999999999999999999999999"), OK, 0 },
        { TEXT("0.000e999"), OK, 0 },
        { TEXT("-0.0e999"), OK, 0 },
        { TEXT("1e-400"), OK, 0 },
        { TEXT("1e-99999999999999999999999999"), OK, 0 },
        { TEXT("9e307"), OK, 0 },
        { TEXT("0.1e309"), OK, 0 },
        { TEXT("0.17e309"), OK, 0 },
        { TEXT("0.9e309"), PINAUD_JSON_SYNTAX, 0 },
    };

    (void) state;

    RUN(tests);
}


/* The bound itself: 2^1024 - 2^970 rounds to infinity, one less does not. */

static void
test_greatest_double(void **state)
{
    static const char  bound[] =
        "17976931348623158079372897140530341507993413271003782693617377898044"
        "49682927647509466490179775872070963302864166928879109465555478519404"
        "02630657488671505820681908902000708383676273854845817711531764475730"
        "27006985557136695962284291481986083493647529271907416844436551070434"
        "2711559699508093042880177904174497792";

    int          i;
    char         text[400];
    json_case_t  test;

    static const struct {
        const char  *format;       /* the bound stands for %s */
        int          refused;
    } forms[] = {
        { "%s.0", 1 },
        { "%se0", 1 },
        { "%s.1", 1 },
        { "%s0e-1", 1 },
        { "-%s.0", 1 },
    };

    (void) state;

    assert_int_equal(strlen(bound), 309);

    for (i = 0; i < 5; i++) {
        snprintf(text, sizeof(text), forms[i].format, bound);

        test.text = text;
        test.len = strlen(text);
        test.failure = PINAUD_JSON_SYNTAX;
        test.offset = 0;
        json_expect(&test);
    }

    /* one less, and a bit; then a digit less */

    snprintf(text, sizeof(text), "%.308s1.999", bound);
    test.len = strlen(text);
    test.failure = OK;
    json_expect(&test);

    snprintf(text, sizeof(text), "%.308se1", bound);
    test.len = strlen(text);
    json_expect(&test);

    /* strtod is of the same mind */

    snprintf(text, sizeof(text), "%s.0", bound);
    assert_true(strtod(text, NULL) > 1.7976931348623157e308);
}


static void
test_strings(void **state)
{
    static const json_case_t  tests[] = {
        { TEXT("\"\""), OK, 0 },
        { TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), OK, 0 },
        { TEXT("\"\\u0001\\u001f\\uFFFF\\uabcd\\uABCD\""), OK, 0 },
        { TEXT("\"\x7F\""), OK, 0 },
        { TEXT("\"\\uD83D\\uDE00\""), OK, 0 },
        { TEXT("\"\\ud800\\udc00\\udbff\\udfff\""), OK, 0 },
        { TEXT("\"12345678\""), OK, 0 },
        { TEXT("\"1234567890123456\""), OK, 0 },

        { TEXT("\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"abc"), PINAUD_JSON_SYNTAX, 4 },
        { TEXT("\"abc\\"), PINAUD_JSON_SYNTAX, 5 },
        { TEXT("\"abc\\\""), PINAUD_JSON_SYNTAX, 6 },
        { TEXT("\"\\a\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"\\'\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"\\U0041\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"\\x41\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"\\u\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"\\u004\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"\\u004g\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"\\u00 1\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"\\u+123\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"\\u00"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"12345678\n\""), PINAUD_JSON_SYNTAX, 9 },
        { TEXT("\"\t\""), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\"a\x01\""), PINAUD_JSON_SYNTAX, 2 },
        { TEXT("\"a\x1F\""), PINAUD_JSON_SYNTAX, 2 },

        { TEXT("\"\\u0000\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"a\0\""), PINAUD_JSON_ENCODING, 2 },
        { TEXT("{\"a\\u0000\":1}"), PINAUD_JSON_ENCODING, 3 },
        { TEXT("\"\\uD800\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\\uD800x\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\\uD800\\n\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\\uD800\\u0041\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\\uD800\\uD800\\uDC00\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\\uDC00\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\\uDC00\\uD800\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\\uDFFF\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\\uD800\\uDC0\""), PINAUD_JSON_ENCODING, 1 },
    };

    (void) state;

    RUN(tests);
}


static void
test_utf8(void **state)
{
    static const json_case_t  tests[] = {
        { TEXT("\"\xC2\x80\xDF\xBF\""), OK, 0 },
        { TEXT("\"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\""), OK, 0 },
        { TEXT("\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\""), OK, 0 },
        { TEXT("\"\xEF\xBB\xBF\""), OK, 0 },

        { TEXT("\"\x80\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xBF\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xC0\x80\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xC1\xBF\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xC2\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xC2"), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xC2\xC0\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xE0\x9F\xBF\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xE2\x82\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xE2\x82"), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xE2\x28\xA1\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xE2\x82\x28\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xED\xA0\x80\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xED\xBF\xBF\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xF0\x8F\xBF\xBF\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xF0\x9F\x98\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xF4\x90\x80\x80\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xF5\x80\x80\x80\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"\xFF\""), PINAUD_JSON_ENCODING, 1 },
        { TEXT("\"12345678\xFF\""), PINAUD_JSON_ENCODING, 9 },
        { TEXT("{\"\xFE\":1}"), PINAUD_JSON_ENCODING, 2 },

        { TEXT("\xEF\xBB\xBF{}"), PINAUD_JSON_ENCODING, 0 },
        { TEXT("\xEF\xBB\xBF"), PINAUD_JSON_ENCODING, 0 },
        { TEXT(" \xEF\xBB\xBF{}"), PINAUD_JSON_SYNTAX, 1 },
        { TEXT("\xFF\xFE{\0}\0"), PINAUD_JSON_SYNTAX, 0 },
        { TEXT("{\0}\0"), PINAUD_JSON_SYNTAX, 1 },
    };

    (void) state;

    RUN(tests);
}


/* Each byte, raw at each place of the eight that are looked at together. */

static void
test_every_byte(void **state)
{
    int          byte, place;
    char         text[32];
    json_case_t  test;

    (void) state;

    for (byte = 0; byte < 256; byte++) {
        for (place = 0; place < 16; place++) {
            memset(text, 'x', sizeof(text));
            text[0] = '"';
            text[1 + place] = (char) byte;
            text[17] = '"';

            test.text = text;
            test.len = 18;
            test.offset = (size_t) place + 1;

            if (byte == '"') {
                test.failure = PINAUD_JSON_SYNTAX;   /* data after the end */
                test.offset++;

            } else if (byte == '\\') {
                test.failure = PINAUD_JSON_SYNTAX;   /* \x, or \" */
                test.offset += (place == 15) ? 2 : 0;

            } else if (byte == 0 || byte >= 0x80) {
                test.failure = PINAUD_JSON_ENCODING;

            } else {
                test.failure = (byte < 0x20) ? PINAUD_JSON_SYNTAX : OK;
            }

            json_expect(&test);
        }
    }
}


static void
test_depth(void **state)
{
    int          i, kind;
    char         text[600], *p;
    json_case_t  test;

    static const struct {
        const char  *open;
        const char  *close;
    } kinds[] = {
        { "[", "]" },
        { "{\"a\":", "}" },
        { "[{\"a\":[1,", "]}]" },
    };

    (void) state;

    for (kind = 0; kind < 2; kind++) {
        for (i = 0; i < 2; i++) {
            int  level, levels = PINAUD_JSON_MAX_DEPTH + i;

            p = text;

            for (level = 0; level < levels; level++) {
                p += sprintf(p, "%s", kinds[kind].open);
            }

            p += sprintf(p, "1");

            for (level = 0; level < levels; level++) {
                p += sprintf(p, "%s", kinds[kind].close);
            }

            test.text = text;
            test.len = strlen(text);
            test.failure = i ? PINAUD_JSON_DEPTH : OK;
            test.offset = PINAUD_JSON_MAX_DEPTH * strlen(kinds[kind].open);
            json_expect(&test);
        }
    }

    /* depth, not length: many siblings are no matter */

    p = text;
    p += sprintf(p, "[");

    for (i = 0; i < 100; i++) {
        p += sprintf(p, "[{}],");
    }

    sprintf(p, "[]]");
    test.text = text;
    test.len = strlen(text);
    test.failure = OK;
    json_expect(&test);
}


static void
test_tokens(void **state)
{
    static const char  text[] =
        "{\"a\\n\":[1,-2.5e1,\"x\",true,false,null,{}],\"b\":\"\\u0041\"}";

    static const struct {
        pinaud_json_token_e  token;
        const char          *text;
        unsigned             depth;
    } tokens[] = {
        { PINAUD_JSON_OBJECT, "{", 1 },
        { PINAUD_JSON_NAME, "a\\n", 1 },
        { PINAUD_JSON_ARRAY, "[", 2 },
        { PINAUD_JSON_INTEGER, "1", 2 },
        { PINAUD_JSON_REAL, "-2.5e1", 2 },
        { PINAUD_JSON_STRING, "x", 2 },
        { PINAUD_JSON_TRUE, "true", 2 },
        { PINAUD_JSON_FALSE, "false", 2 },
        { PINAUD_JSON_NULL, "null", 2 },
        { PINAUD_JSON_OBJECT, "{", 3 },
        { PINAUD_JSON_OBJECT_END, "}", 2 },
        { PINAUD_JSON_ARRAY_END, "]", 1 },
        { PINAUD_JSON_NAME, "b", 1 },
        { PINAUD_JSON_STRING, "\\u0041", 1 },
        { PINAUD_JSON_OBJECT_END, "}", 0 },
    };

    size_t         i;
    pinaud_json_t  json;

    (void) state;

    pinaud_json_init(&json, (const unsigned char *) text, sizeof(text) - 1);

    for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        assert_int_equal(pinaud_json_next(&json), tokens[i].token);
        assert_int_equal(json.len, strlen(tokens[i].text));
        assert_memory_equal(json.token, tokens[i].text, json.len);
        assert_int_equal(json.depth, tokens[i].depth);
    }

    assert_int_equal(pinaud_json_next(&json), PINAUD_JSON_END);
}


/* Escapes are told of each string, and of no number behind one. */

static void
test_escaped(void **state)
{
    static const char  text[] = "[\"\\u0041\",1,\"A\",\"A\\n\",1.5]";

    static const unsigned  escaped[] = { 1, 0, 0, 1, 0 };

    size_t         i;
    pinaud_json_t  json;

    (void) state;

    pinaud_json_init(&json, (const unsigned char *) text, sizeof(text) - 1);
    assert_int_equal(pinaud_json_next(&json), PINAUD_JSON_ARRAY);

    for (i = 0; i < 5; i++) {
        (void) pinaud_json_next(&json);
        assert_int_equal(json.escaped, escaped[i]);
    }

    assert_int_equal(pinaud_json_next(&json), PINAUD_JSON_ARRAY_END);
}


static void
test_decode(void **state)
{
    static const struct {
        const char  *text;
        const char  *decoded;
    } tests[] = {
        { "abc", "abc" },
        { "", "" },
        { "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t" },
        { "\\u0041\\u00e9\\u20AC\\uD83D\\uDE00", "A\xC3\xA9\xE2\x82\xAC"
          "\xF0\x9F\x98\x80" },
        { "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC"
          "\xF0\x9F\x98\x80" },
        { "\\udbff\\udfff", "\xF4\x8F\xBF\xBF" },
    };

    size_t         i, size, len;
    unsigned char  to[32];

    (void) state;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        len = strlen(tests[i].decoded);

        for (size = 0; size < sizeof(to); size++) {
            memset(to, 0xA5, sizeof(to));

            if (size < len) {
                assert_int_equal(pinaud_json_decode(
                                 (const unsigned char *) tests[i].text,
                                 strlen(tests[i].text), to, size), size + 1);

            } else {
                assert_int_equal(pinaud_json_decode(
                                 (const unsigned char *) tests[i].text,
                                 strlen(tests[i].text), to, size), len);
                assert_memory_equal(to, tests[i].decoded, len);
            }

            assert_int_equal(to[size], 0xA5);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_greatest_double),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_escaped),
        cmocka_unit_test(test_decode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
