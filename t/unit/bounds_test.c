
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Large and hostile bodies, the list of errors at its bounds, and memory.
 * The time bounds are guards against hanging: what is quadratic takes minutes.
 */


#include <time.h>
#include "audience_case.h"


#define LIMIT  30.0                /* seconds of CPU, with the sanitizers */


typedef struct {
    char    *text;
    size_t   len;
    size_t   size;
} text_t;


static void
text_add(text_t *text, const char *format, ...)
{
    int      n;
    va_list  args;

    if (text->size - text->len < 4096) {
        text->size = text->size ? 2 * text->size : 8192;
        text->text = realloc(text->text, text->size);
        assert_non_null(text->text);
    }

    va_start(args, format);
    n = vsnprintf(text->text + text->len, text->size - text->len, format,
                  args);
    va_end(args);

    assert_true(n >= 0 && n < 4096);
    text->len += (size_t) n;
}


static void
text_start(text_t *text)
{
    memset(text, 0, sizeof(*text));
    text_add(text, "{\"name\":\"N\",\"audience_type\":\"VISITOR\",\"rule\":{"
             "\"visitor_source_id\":\"1\",\"event\":\"e\"");
}


static void
text_run(audience_case_t *run, unsigned flags, text_t *text)
{
    clock_t  start;

    start = clock();
    audience_run(run, flags, text->text, text->len);
    assert_true((double) (clock() - start) / CLOCKS_PER_SEC < LIMIT);

    free(text->text);
}


static void
test_scratch_size(void **state)
{
    size_t  len;

    (void) state;

    for (len = 1600; len < 100000000; len = len * 3 / 2) {
        assert_true(pinaud_audience_scratch(len) <= 8 * len);
    }

    assert_int_equal(pinaud_audience_scratch(0), 8 * 1600);
    assert_int_equal(pinaud_audience_scratch(1599), 8 * 1600);
}


static void
test_omitted(void **state)
{
    int              i, n;
    text_t           text;
    audience_case_t  run;

    (void) state;

    for (n = 31; n <= 40; n++) {
        text_start(&text);

        for (i = 0; i < n; i++) {
            text_add(&text, ",\"x%d\":1", i);
        }

        text_add(&text, "}}");
        text_run(&run, CREATE, &text);

        assert_int_equal(run.verdict.nerrors, n < 32 ? n : 32);
        assert_int_equal(run.verdict.omitted, n < 32 ? 0 : n - 32);
        assert_int_equal(run.verdict.counts[PINAUD_ERROR_UNKNOWN], n);

        audience_free(&run);
    }
}


static void
expect_pointer(const char *name, size_t repeat, const char *inner,
    const char *expected, size_t len)
{
    size_t           i;
    text_t           text;
    audience_case_t  run;

    text_start(&text);
    text_add(&text, "},\"");

    for (i = 0; i < repeat; i++) {
        text_add(&text, "%s", name);
    }

    text_add(&text, "\":%s}", inner);
    text_run(&run, CREATE | FORWARD, &text);

    assert_int_equal(run.verdict.nerrors, 1);
    assert_int_equal(run.verdict.errors[0].code, PINAUD_ERROR_DUPLICATE);
    assert_int_equal(run.verdict.errors[0].pointer_len, len);
    assert_memory_equal(run.verdict.errors[0].pointer, expected,
                        strlen(expected));

    audience_free(&run);
}


static void
test_pointer_bound(void **state)
{
    (void) state;

    /* 1 + 253 + 2 = 256 is whole, one more is cut at its parent */

    expect_pointer("x", 253, "{\"a\":1,\"a\":2}", "/xxx", 256);
    expect_pointer("x", 254, "{\"a\":1,\"a\":2}", "/xxx", 255);
    expect_pointer("x", 255, "{\"a\":1,\"a\":2}", "/xxx", 256);
    expect_pointer("x", 256, "{\"a\":1,\"a\":2}", "", 0);
    expect_pointer("x", 3000, "{\"a\":1,\"a\":2}", "", 0);
    expect_pointer("x", 254, "{\"\":1,\"\":2}", "/xxx", 256);
    expect_pointer("x", 250, "{\"a\":{\"b\":1,\"b\":2}}", "/xxx", 255);
    expect_pointer("x", 252, "{\"a\":{\"b\":{\"c\":1,\"c\":2}}}", "/xxx", 255);

    /* indices, escapes and what takes several bytes count as they are */

    expect_pointer("x", 251, "[0,{\"a\":1,\"a\":2}]", "/xxx", 256);
    expect_pointer("x", 252, "[0,{\"a\":1,\"a\":2}]", "/xxx", 255);
    expect_pointer("x", 254, "[0,{\"a\":1,\"a\":2}]", "/xxx", 255);
    expect_pointer("~", 126, "{\"a\":1,\"a\":2}", "/~0~0", 255);
    expect_pointer("~", 127, "{\"a\":1,\"a\":2}", "/~0~0", 255);
    expect_pointer("~", 128, "{\"a\":1,\"a\":2}", "", 0);
    expect_pointer("\\u20ac", 84, "{\"a\":1,\"a\":2}", "/\xE2\x82\xAC", 255);
    expect_pointer("\\u20ac", 85, "{\"a\":1,\"a\":2}", "/\xE2\x82\xAC", 256);
    expect_pointer("\xE2\x82\xAC", 86, "{\"a\":1,\"a\":2}", "", 0);
}


/* Thirty-two pointers of 256 bytes each, from a body of 700. */

static void
test_long_pointers(void **state)
{
    int              i;
    text_t           text;
    audience_case_t  run;

    (void) state;

    memset(&text, 0, sizeof(text));
    text_add(&text, "{\"");

    for (i = 0; i < 253; i++) {
        text_add(&text, "x");
    }

    text_add(&text, "\":{");

    for (i = 0; i < 40; i++) {
        text_add(&text, "%s\"%c\":1,\"%c\":2", i ? "," : "", 'A' + i, 'A' + i);
    }

    /* '\' is among them, and must be escaped */

    for (i = 0; (size_t) i < text.len; i++) {
        text.text[i] = (text.text[i] == '\\') ? '!' : text.text[i];
    }

    text_add(&text, "}}");
    text_run(&run, FORWARD, &text);

    assert_int_equal(run.verdict.nerrors, 32);
    assert_int_equal(run.verdict.omitted, 8 + 4);
    assert_int_equal(run.verdict.counts[PINAUD_ERROR_SYNTAX], 0);

    for (i = 0; i < 32; i++) {
        assert_int_equal(run.verdict.errors[i].pointer_len, 256);
        assert_int_equal(run.verdict.errors[i].pointer[255], 'A' + i == '\\'
                         ? '!' : 'A' + i);
    }

    audience_free(&run);
}


/* The first error gives back what the edits before it took. */

static void
test_edits_then_errors(void **state)
{
    int              i, n;
    text_t           text;
    audience_case_t  run;

    (void) state;

    for (n = 1; n < 400; n++) {
        text_start(&text);
        text_add(&text, ",\"event_data\":{\"line_items\":[{}");

        for (i = 0; i < n; i++) {
            text_add(&text, ",{\"product_id\":null}");
        }

        text_add(&text, "]}},\"");

        for (i = 0; i < 250; i++) {
            text_add(&text, "y");
        }

        text_add(&text, "\":{\"a\":1");

        for (i = 0; i < 32; i++) {
            text_add(&text, ",\"a\":1");
        }

        text_add(&text, "}}");
        text_run(&run, CREATE | LENIENT | FORWARD, &text);

        assert_int_equal(run.verdict.nerrors, 32);
        assert_int_equal(run.verdict.counts[PINAUD_ERROR_DUPLICATE], 32);
        assert_int_equal(run.verdict.errors[31].pointer_len, 253);

        audience_free(&run);
    }
}


static void
test_many_duplicates(void **state)
{
    int              i, depth;
    text_t           text;
    audience_case_t  run;

    (void) state;

    for (depth = 0; depth < 2; depth++) {
        text_start(&text);
        text_add(&text, "%s", depth ? "}, \"x\":{\"a\":0" : ",\"a\":0");

        for (i = 0; i < 100000; i++) {
            text_add(&text, ",\"%s\":1", i & 1 ? "a" : "\\u0061");
        }

        text_add(&text, "}}");
        text_run(&run, CREATE | FORWARD, &text);

        assert_int_equal(run.verdict.nerrors, 32);
        assert_int_equal(run.verdict.omitted, 100000 - 32);
        assert_int_equal(run.verdict.counts[PINAUD_ERROR_DUPLICATE], 100000);
        assert_int_equal(run.verdict.errors[31].pointer_len,
                         depth ? sizeof("/x/a") - 1 : sizeof("/rule/a") - 1);

        audience_free(&run);
    }
}


static void
test_many_members(void **state)
{
    int              i, n;
    text_t           text;
    audience_case_t  run;

    (void) state;

    for (n = 10000; n <= 200000; n *= 20) {
        text_start(&text);
        text_add(&text, ",\"event_data\":{\"x\":0");

        for (i = 0; i < n; i++) {
            text_add(&text, ",\"%x\":%d", i, i);
        }

        text_add(&text, "},\"retention_days\":\"1\"}}");
        text_run(&run, CREATE, &text);

        assert_true(run.verdict.valid);
        assert_int_equal(run.verdict.nedits, 1);
        assert_int_equal(run.verdict.forwarded_len, run.len - 2);

        audience_free(&run);
    }
}


/*
 * The most names that so many bytes can hold: five bytes each, in objects
 * that are nested as deep as may be.
 */

static void
test_dense_names(void **state)
{
    int              i, j;
    text_t           text;
    audience_case_t  run;

    (void) state;

    memset(&text, 0, sizeof(text));
    text_add(&text, "[");

    for (i = 0; i < 6000; i++) {
        text_add(&text, i ? "," : "");

        for (j = 0; j < 30; j++) {
            text_add(&text, "{\"\":");
        }

        text_add(&text, "{}");

        for (j = 0; j < 30; j++) {
            text_add(&text, "}");
        }
    }

    text_add(&text, "]");
    text_run(&run, FORWARD, &text);

    /* no object, but nothing else */

    assert_int_equal(run.verdict.nerrors, 1);
    assert_int_equal(run.verdict.errors[0].code, PINAUD_ERROR_TYPE);

    audience_free(&run);
}


static void
test_megabyte(void **state)
{
    text_t           text;
    unsigned         escaped;
    audience_case_t  run;

    (void) state;

    for (escaped = 0; escaped < 2; escaped++) {
        text_start(&text);
        text_add(&text, ",\"event_data\":{\"order_id\":\"");

        while (text.len < 1024 * 1024) {
            text_add(&text, "%s", escaped ? "\\u20ac\\n\xE2\x82\xAC"
                                          : "0123456789abcdef");
        }

        text_add(&text, "\",\"order_quantity\":\"2\"}}}");
        text_run(&run, CREATE | LENIENT, &text);

        assert_true(run.verdict.valid);
        assert_int_equal(run.verdict.nedits, 1);

        audience_free(&run);
    }
}


/* A long integer in a string, all of it escapes, needs its memory too. */

static void
test_long_digits(void **state)
{
    int              i;
    text_t           text;
    audience_case_t  run;

    (void) state;

    text_start(&text);
    text_add(&text, ",\"event_data\":{\"order_quantity\":\"");

    for (i = 0; i < 100000; i++) {
        text_add(&text, "\\u0037");
    }

    text_add(&text, "\"}}}");
    text_run(&run, CREATE | LENIENT, &text);

    assert_true(run.verdict.valid);
    assert_int_equal(run.verdict.nedits, 1);
    assert_int_equal(run.verdict.forwarded_len, run.len - 500000 - 2);

    audience_free(&run);
}


/* Ids: distinct and repeated, bare and in quotes. */

static void
test_many_ids(void **state)
{
    int              i, n, way;
    text_t           text;
    audience_case_t  run;

    static const struct {
        const char  *format;
        int          modulus;
        unsigned     edits;
    } ways[] = {
        { "%d", 1000000, 1 },
        { "\"%d\"", 1000000, 0 },
        { "%d", 7, 1 },
        { "\"%d\"", 7, 1 },
        { "\"\\u0031%d\"", 1000, 1 },
    };

    (void) state;

    for (way = 0; way < 5; way++) {
        for (n = 1; n <= 100000; n *= 10) {
            memset(&text, 0, sizeof(text));
            text_add(&text, "{\"name\":\"N\",\"audience_type\":\"ACTALIKE\","
                     "\"rule\":{\"seed_id\":[");

            for (i = 0; i < n; i++) {
                text_add(&text, i ? "," : "");
                text_add(&text, ways[way].format, i % ways[way].modulus);
            }

            text_add(&text, "]}}");
            text_run(&run, CREATE | LENIENT, &text);

            assert_true(run.verdict.valid);

            if (n > ways[way].modulus) {
                assert_int_equal(run.verdict.nedits, ways[way].edits);
            }

            audience_again(&run, CREATE | LENIENT);
            audience_free(&run);
        }
    }
}


/* The most edits that so many bytes can ask for. */

static void
test_dense_edits(void **state)
{
    int              i, n, way;
    text_t           text;
    audience_case_t  run;

    static const struct {
        const char  *item;
        unsigned     edits;
    } ways[] = {
        { "{\"product_id\":null}", 1 },
        { "{\"product_id\":null,\"product_name\":null}", 2 },
        { "{\"product_id\":null,\"product_name\":null,\"product_brand\":null,"
          "\"product_price\":null,\"product_variant\":null,\"product_category"
          "\":null,\"product_quantity\":null,\"product_variant_id\":null}", 8 },
        { "{\"product_id\":null,\"x\":null,\"y\":1}", 1 },
    };

    static const char  nulls[] =
        ",\"url\":null,\"ad_id\":null,\"pin_id\":null,\"country\":null"
        ",\"prefill\":null,\"seed_id\":null,\"percentage\":null"
        ",\"campaign_id\":null,\"engager_type\":null,\"event_source\":null"
        ",\"ad_account_id\":null,\"objective_type\":null"
        ",\"retention_days\":null,\"engagement_type\":null"
        ",\"customer_list_id\":null,\"ingestion_source\":null"
        ",\"engagement_domain\":null";

    (void) state;

    for (way = 0; way < 4; way++) {
        for (n = 1; n <= 30000; n = n < 100 ? n + 1 : n * 3) {
            text_start(&text);
            text_add(&text, "%s,\"event_data\":{\"value\":null,\"currency\":"
                     "null,\"order_id\":null,\"property\":null,\"lead_type\":"
                     "null,\"page_name\":null,\"promo_code\":null,"
                     "\"line_items\":[%s", nulls, ways[way].item);

            for (i = 1; i < n; i++) {
                text_add(&text, ",%s", ways[way].item);
            }

            text_add(&text, "]}}}");
            text_run(&run, CREATE | LENIENT, &text);

            assert_true(run.verdict.valid);
            assert_int_equal(run.verdict.nedits,
                             24 + (unsigned) n * ways[way].edits);

            if (n < 1000) {
                audience_again(&run, CREATE | LENIENT);
            }

            audience_free(&run);
        }
    }
}


/* With less memory than is due a body may be refused, and nothing else. */

static void
test_short_scratch(void **state)
{
    void                        *scratch;
    char                        *body;
    size_t                       i, size, len;
    unsigned                     accepted, refused;
    pinaud_audience_verdict_t    verdict;
    pinaud_audience_contract_t   contract;

    static const char  *bodies[] = {
        "{'name':' N ','audience_type':'visitor','description':null,'rule':"
        "{'visitor_source_id':[1],'retention_days':'\\u0035','event':'e',"
        "'event_source':{'=':['WEB','web']},'event_data':{'currency':'usd',"
        "'own':1,'line_items':[{},{'product_id':null}],'value':null},"
        "'prefill':'true'}}",

        "{'name':'N','audience_type':'ACTALIKE','rule':"
        "{'seed_id':[1,2,3,1,2,3],'country':'us','percentage':'\\u0035'}}",

        "{'name':'N','audience_type':'ACTALIKE','rule':"
        "{'seed_id':'1','country':'us','percentage':'\\u0035'}}",

        "{'name':1,'audience_type':2,'x':{'a':1,'a':1},'rule':{}}",
    };

    (void) state;

    audience_contract(&contract, CREATE | LENIENT);

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        body = audience_quotes(bodies[i]);
        len = strlen(body);
        accepted = 0;
        refused = 0;

        for (size = 0; size < 4096; size++) {
            scratch = malloc(size);
            pinaud_audience_check(&contract, (unsigned char *) body, len,
                                  scratch, size, &verdict);

            if (verdict.valid) {
                accepted++;

            } else if (verdict.errors[0].code == PINAUD_ERROR_SYNTAX) {
                assert_int_equal(verdict.nerrors, 1);
                assert_null(verdict.edits);
                refused++;
            }

            free(scratch);
        }

        assert_true(refused > 100);
        assert_true(i == 3 ? accepted == 0 : accepted > 1000);

        free(body);
    }
}


/* A request without a body may have no memory for it at all. */

static void
test_no_body(void **state)
{
    void                        *scratch;
    pinaud_audience_verdict_t    verdict;
    pinaud_audience_contract_t   contract;

    (void) state;

    audience_contract(&contract, 0);
    scratch = malloc(pinaud_audience_scratch(0));
    pinaud_audience_check(&contract, NULL, 0, scratch,
                          pinaud_audience_scratch(0), &verdict);

    assert_false(verdict.valid);
    assert_int_equal(verdict.nerrors, 1);
    assert_int_equal(verdict.errors[0].code, PINAUD_ERROR_SYNTAX);
    assert_int_equal(verdict.errors[0].offset, 0);

    free(scratch);
}


/* Nothing of such a length is looked at. */

static void
test_four_gigabytes(void **state)
{
    char                         scratch[4096];
    pinaud_audience_verdict_t    verdict;
    pinaud_audience_contract_t   contract;

    (void) state;

    audience_contract(&contract, 0);
    pinaud_audience_check(&contract, (const unsigned char *) "{}",
                          (size_t) 1 << 32, scratch, sizeof(scratch),
                          &verdict);

    assert_false(verdict.valid);
    assert_int_equal(verdict.nerrors, 1);
    assert_int_equal(verdict.errors[0].code, PINAUD_ERROR_SYNTAX);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_scratch_size),
        cmocka_unit_test(test_omitted),
        cmocka_unit_test(test_pointer_bound),
        cmocka_unit_test(test_long_pointers),
        cmocka_unit_test(test_edits_then_errors),
        cmocka_unit_test(test_many_duplicates),
        cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_dense_names),
        cmocka_unit_test(test_megabyte),
        cmocka_unit_test(test_long_digits),
        cmocka_unit_test(test_many_ids),
        cmocka_unit_test(test_dense_edits),
        cmocka_unit_test(test_short_scratch),
        cmocka_unit_test(test_no_body),
        cmocka_unit_test(test_four_gigabytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
