
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What lenient adds to the contract.
 */


#include "audience_case.h"


typedef struct {
    const char  *body;
    const char  *expected;
} lenient_case_t;


static void
lenient_rules(const lenient_case_t *tests, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        audience_expect_rule(LENIENT, tests[i].body, tests[i].expected);
    }
}


#define RULES(tests)  lenient_rules(tests, sizeof(tests) / sizeof(tests[0]))


static void
test_ids(void **state)
{
    static const lenient_case_t  tests[] = {
        { "{'customer_list_id':123}", "{'customer_list_id':'123'}" },
        { "{'customer_list_id' : 0 }", "{'customer_list_id' : '0' }" },
        { "{'customer_list_id':123456789012345678901234567890}",
          "{'customer_list_id':'123456789012345678901234567890'}" },
        { "{'customer_list_id':'123'}", UNCHANGED },
        { "{'customer_list_id':-1}", "! type /rule/customer_list_id" },
        { "{'customer_list_id':-0}", "! type /rule/customer_list_id" },
        { "{'customer_list_id':1.0}", "! type /rule/customer_list_id" },
        { "{'customer_list_id':1e3}", "! type /rule/customer_list_id" },
        { "{'customer_list_id':true}", "! type /rule/customer_list_id" },
        { "{'customer_list_id':['1']}", "! type /rule/customer_list_id" },
        { "{'customer_list_id':''}", "! empty /rule/customer_list_id" },
        { "{'customer_list_id':'1 '}", "! pattern /rule/customer_list_id" },

        { "{'seed_id':[1,22]}", "{'seed_id':['1','22']}" },
        { "{'seed_id':[ 1 , '22' , 3 ]}", "{'seed_id':[ '1' , '22' , '3' ]}" },
        { "{'seed_id':'1'}", "{'seed_id':['1']}" },
        { "{'seed_id': '\\u0031' }", "{'seed_id': ['\\u0031'] }" },
        { "{'seed_id':1}", "{'seed_id':['1']}" },
        { "{'seed_id':[1.0]}", "! type /rule/seed_id/0" },
        { "{'seed_id':['1',-1]}", "! type /rule/seed_id/1" },
        { "{'seed_id':1.0}", "! type /rule/seed_id" },
        { "{'seed_id':'x'}", "! pattern /rule/seed_id" },
        { "{'seed_id':''}", "! empty /rule/seed_id" },
        { "{'seed_id':[]}", "! empty /rule/seed_id" },
        { "{'seed_id':[null]}", "! type /rule/seed_id/0" },
        { "{'seed_id':{}}", "! type /rule/seed_id" },
        { "{'seed_id':true}", "! type /rule/seed_id" },

        { "{'visitor_source_id':1}", "{'visitor_source_id':'1'}" },
        { "{'visitor_source_id':[1]}", "{'visitor_source_id':'1'}" },
        { "{'visitor_source_id':['1']}", "{'visitor_source_id':'1'}" },
        { "{'visitor_source_id':['1','1']}", "{'visitor_source_id':'1'}" },
        { "{'visitor_source_id':[1,'1','\\u0031']}",
          "{'visitor_source_id':'1'}" },
        { "{'visitor_source_id':['1','2']}", "! type /rule/visitor_source_id" },
        { "{'visitor_source_id':['1','11']}",
          "! type /rule/visitor_source_id" },
        { "{'visitor_source_id':['11','1']}",
          "! type /rule/visitor_source_id" },
        { "{'visitor_source_id':['x','x']}", "! type /rule/visitor_source_id" },
        { "{'visitor_source_id':[]}", "! empty /rule/visitor_source_id" },
        { "{'visitor_source_id':[-1]}", "! type /rule/visitor_source_id/0" },

        { "{'pin_id':['1'],'ad_account_id':549755885175}",
          "{'pin_id':['1'],'ad_account_id':'549755885175'}" },
        { "{'pin_id':['1'],'ad_account_id':549755885176}",
          "! conflict /rule/ad_account_id" },

        /* after a string with escapes */

        { "{'event':'\\u0041','visitor_source_id':12,'ad_account_id':"
          "549755885175}", "{'event':'\\u0041','visitor_source_id':'12',"
          "'ad_account_id':'549755885175'}" },
    };

    (void) state;

    RULES(tests);
}


static void
test_repeated(void **state)
{
    static const lenient_case_t  tests[] = {
        { "{'seed_id':['1','2']}", UNCHANGED },
        { "{'seed_id':['1','1']}", "{'seed_id':['1']}" },
        { "{'seed_id':['1','2','1','3','2']}", "{'seed_id':['1','2','3']}" },
        { "{'seed_id':[ '1' , '1' ]}", "{'seed_id':[ '1' ]}" },
        { "{'seed_id':[ '1' , '1' , '2' ]}", "{'seed_id':[ '1' , '2' ]}" },
        { "{'seed_id':[1,'1',1]}", "{'seed_id':['1']}" },
        { "{'seed_id':['\\u0031','1']}", "{'seed_id':['\\u0031']}" },
        { "{'seed_id':['1','01']}", UNCHANGED },
        { "{'seed_id':['1','11','111']}", UNCHANGED },
        { "{'pin_id':['1','1'],'campaign_id':['1','1'],'ad_id':['1','1']}",
          "{'pin_id':['1'],'campaign_id':['1'],'ad_id':['1']}" },
        { "{'objective_type':['AWARENESS','CONSIDERATION','awareness']}",
          "{'objective_type':['AWARENESS','CONSIDERATION']}" },
        { "{'objective_type':['Awareness','AWARENESS']}",
          "{'objective_type':['AWARENESS']}" },
        { "{'visitor_source_id':'1','event_source':{'=':['web','web',"
          "'Mobile']},'ingestion_source':{'=':['tag','tag']}}",
          "{'visitor_source_id':'1','event_source':{'=':['web','mobile']},"
          "'ingestion_source':{'=':['tag']}}" },

        /* neither ids nor enums */

        { "{'engagement_domain':['a','a']}", UNCHANGED },
        { "{'pin_id':['1'],'url':['u','u']}", UNCHANGED },
    };

    (void) state;

    RULES(tests);
}


static void
test_wrapped(void **state)
{
    static const lenient_case_t  tests[] = {
        { "{'engagement_domain':'www.example.com'}",
          "{'engagement_domain':['www.example.com']}" },
        { "{'engagement_domain':''}", "! empty /rule/engagement_domain" },
        { "{'engagement_domain':1}", "! type /rule/engagement_domain" },
        { "{'objective_type':'AWARENESS'}",
          "{'objective_type':['AWARENESS']}" },
        { "{'objective_type':'awareness'}",
          "{'objective_type':['AWARENESS']}" },
        { "{'objective_type':'sales'}", "! enum /rule/objective_type" },
        { "{'pin_id':1,'campaign_id':'2','ad_id':[3]}",
          "{'pin_id':['1'],'campaign_id':['2'],'ad_id':['3']}" },
        { "{'visitor_source_id':'1','event_source':{'=':'Web'}}",
          "{'visitor_source_id':'1','event_source':{'=':['web']}}" },
        { "{'visitor_source_id':'1','event_source':'web'}",
          "! type /rule/event_source" },
        { "{'visitor_source_id':'1','event_source':['web']}",
          "! type /rule/event_source" },

        /* it has a form of its own */

        { "{'pin_id':['1'],'url':'u'}", UNCHANGED },
        { "{'pin_id':['1'],'url':['u']}", UNCHANGED },
    };

    (void) state;

    RULES(tests);
}


static void
test_scalars(void **state)
{
    static const lenient_case_t  tests[] = {
        { "{'engager_type':'1'}", "{'engager_type':1}" },
        { "{'engager_type':'\\u0031'}", "{'engager_type':1}" },
        { "{'engager_type':'3'}", "! range /rule/engager_type" },
        { "{'engager_type':'01'}", "! pattern /rule/engager_type" },
        { "{'engager_type':''}", "! empty /rule/engager_type" },
        { "{'engager_type':1.0}", "! type /rule/engager_type" },
        { "{'seed_id':['1'],'percentage':'10'}",
          "{'seed_id':['1'],'percentage':10}" },

        { "{'visitor_source_id':'1','prefill':'true'}",
          "{'visitor_source_id':'1','prefill':true}" },
        { "{'visitor_source_id':'1','prefill':'f\\u0061lse'}",
          "{'visitor_source_id':'1','prefill':false}" },
        { "{'visitor_source_id':'1','prefill':'True'}",
          "! type /rule/prefill" },
        { "{'visitor_source_id':'1','prefill':'1'}", "! type /rule/prefill" },
        { "{'visitor_source_id':'1','prefill':''}", "! type /rule/prefill" },
        { "{'visitor_source_id':'1','prefill':0}", "! type /rule/prefill" },
        { "{'visitor_source_id':'1','prefill':false}", UNCHANGED },

        { "{'engagement_type':'CLICK'}", "{'engagement_type':'click'}" },
        { "{'engagement_type':'Cl\\u0049ck'}", "{'engagement_type':'click'}" },
        { "{'engagement_type':'clic\\u212a'}",
          "! enum /rule/engagement_type" },
        { "{'engagement_type':'cl\\u0069ck'}", UNCHANGED },
        { "{'engagement_type':' click'}", "! enum /rule/engagement_type" },
        { "{'seed_id':['1'],'country':'us'}",
          "{'seed_id':['1'],'country':'US'}" },
        { "{'seed_id':['1'],'country':'Us'}",
          "{'seed_id':['1'],'country':'US'}" },
        { "{'seed_id':['1'],'country':'\\u0075S'}",
          "{'seed_id':['1'],'country':'US'}" },
        { "{'seed_id':['1'],'country':'u1'}", "! pattern /rule/country" },
        { "{'seed_id':['1'],'country':'usa'}", "! pattern /rule/country" },
        { "{'seed_id':['1'],'country':'\xC3\xA9'}",
          "! pattern /rule/country" },

        { "{'visitor_source_id':'1','event':'e','event_data':{'currency':"
          "'usd','order_quantity':'2','value':'5','x':null,'Currency':'eur'}}",
          "{'visitor_source_id':'1','event':'e','event_data':{'currency':"
          "'USD','order_quantity':2,'value':'5','x':null,'Currency':'eur'}}" },
        { "{'visitor_source_id':'1','event':'e','event_data':{"
          "'order_quantity':'-123456789012345678901234567890'}}",
          "{'visitor_source_id':'1','event':'e','event_data':{"
          "'order_quantity':-123456789012345678901234567890}}" },
        { "{'visitor_source_id':'1','event':'e','event_data':{"
          "'order_quantity':'2.5'}}",
          "! pattern /rule/event_data/order_quantity" },
        { "{'visitor_source_id':'1','event':'e','event_data':{'line_items':"
          "[{'product_id':'11','product_quantity':'1','product_price':'2'}]}}",
          UNCHANGED },
        { "{'visitor_source_id':'1','event':'Checkout'}", UNCHANGED },
    };

    (void) state;

    RULES(tests);
}


static void
test_nulls(void **state)
{
    static const lenient_case_t  tests[] = {
        { "{'pin_id':['1'],'url':null}", "{'pin_id':['1']}" },
        { "{'url':null,'pin_id':['1']}", "{'pin_id':['1']}" },
        { "{'url':null,'country':null,'pin_id':['1']}", "{'pin_id':['1']}" },
        { "{'pin_id':['1'],'url':null,'country':null}", "{'pin_id':['1']}" },
        { "{'pin_id':['1'],'url':null,'ad_id':['1']}",
          "{'pin_id':['1'],'ad_id':['1']}" },
        { "{'url':null,'pin_id':['1'],'country':null,'event':null,"
          "'ad_id':['1'],'prefill':null}", "{'pin_id':['1'],'ad_id':['1']}" },
        { "{ 'url' : null , 'pin_id' : ['1'] , 'country' : null }",
          "{ 'pin_id' : ['1'] }" },
        { "{ 'pin_id' : ['1']\n,\n'country' : null\n,\n'ad_id':['2'] }",
          "{ 'pin_id' : ['1']\n,\n'ad_id':['2'] }" },

        /* what is dropped tells nothing and is not there */

        { "{'customer_list_id':'1','seed_id':null,'visitor_source_id':null,"
          "'pin_id':null,'engager_type':null}", "{'customer_list_id':'1'}" },
        { "{'customer_list_id':null}", "! audience_type /rule" },
        { "{'seed_id':null,'country':'US'}", "! required /rule/seed_id" },
        { "{'visitor_source_id':'1','event':null,'event_data':{}}",
          "! required /rule/event" },
        { "{'visitor_source_id':'1','event':null,'event_data':null}",
          "{'visitor_source_id':'1'}" },
        { "{'customer_list_id':'1','retention_days':null,'url':null}",
          "{'customer_list_id':'1'}" },

        /* but its name was */

        { "{'pin_id':['1'],'url':null,'url':'u'}", "! duplicate /rule/url" },
        { "{'pin_id':['1'],'url':'u','url':null}", "! duplicate /rule/url" },
        { "{'pin_id':['1'],'url':null,'url':null}", "! duplicate /rule/url" },

        /* not optional, not members, not known */

        { "{'pin_id':[null]}", "! type /rule/pin_id/0" },
        { "{'pin_id':['1'],'url':{'=':'u','contains':null}}",
          "! type /rule/url/contains" },
        { "{'visitor_source_id':'1','event_source':{'=':null}}",
          "! type /rule/event_source/=" },
        { "{'pin_id':['1'],'x':null}", "! unknown /rule/x" },

        /* below event_data */

        { "{'visitor_source_id':'1','event':'e','event_data':{'value':null,"
          "'x':null,'currency':null,'line_items':[{'product_id':null},"
          "{'product_name':null,'product_id':1,'y':null}]}}",
          "{'visitor_source_id':'1','event':'e','event_data':{"
          "'x':null,'line_items':[{},"
          "{'product_id':1,'y':null}]}}" },
        { "{'visitor_source_id':'1','event':'e','event_data':{'line_items':"
          "null}}", "{'visitor_source_id':'1','event':'e','event_data':{}}" },
    };

    static const char  nulls[] =
        "{'category':null,'name':'N','sharing_type':'CUSTOM',"
        "'ad_account_id':null,'data_party':'1p','rule':{'url':null}}";

    (void) state;

    RULES(tests);

    audience_expect(LENIENT, "{'name':null,'rule':null,'sharing_type':null,"
                    "'data_party':null,'category':null,'ad_account_id':null}",
                    "! type /name, type /rule, type /sharing_type, "
                    "type /data_party");
    audience_expect(LENIENT | CREATE, "{'description':null,'audience_type':"
                    "null,'name':'N','rule':{'pin_id':['1']}}",
                    "! type /audience_type");
    audience_expect(LENIENT | CREATE, "{'description':null,'audience_type':"
                    "'Engagement','name':'N','rule':{'pin_id':['1']}}",
                    "{'audience_type':"
                    "'ENGAGEMENT','name':'N','rule':{'pin_id':['1']}}");
    audience_expect(LENIENT | CREATE, "{'audience_type':'persona','name':'N',"
                    "'rule':{'pin_id':['1']}}", "! enum /audience_type");
    audience_expect(LENIENT | CREATE, "{'audience_type':'visitor','name':'N',"
                    "'rule':{'pin_id':['1']}}", "! audience_type /rule");
    audience_expect(LENIENT, nulls, "! audience_type /rule");
    audience_expect(LENIENT | FORWARD, "{'x':null,'name':'N','sharing_type':"
                    "'custom','data_party':'3P','category':null,'rule':"
                    "{'y':null,'pin_id':['1'],'url':null}}",
                    "{'x':null,'name':'N','sharing_type':"
                    "'CUSTOM','data_party':'3p','rule':"
                    "{'y':null,'pin_id':['1']}}");
}


/* None of it is done in documented mode. */

static void
test_not_documented(void **state)
{
    static const lenient_case_t  tests[] = {
        { "{'seed_id':['1','1']}", UNCHANGED },
        { "{'seed_id':[1]}", "! type /rule/seed_id/0" },
        { "{'engagement_domain':'d'}", "! type /rule/engagement_domain" },
        { "{'engager_type':'1'}", "! type /rule/engager_type" },
        { "{'pin_id':['1'],'url':null}", "! type /rule/url" },
        { "{'engagement_type':'CLICK'}", "! enum /rule/engagement_type" },
    };

    size_t  i;

    (void) state;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        audience_expect_rule(0, tests[i].body, tests[i].expected);
    }
}


static void
test_name(void **state)
{
    size_t  i;
    char    body[512], want[512];

    static const struct {
        const char  *name;
        const char  *forwarded;    /* NULL: as it came */
    } tests[] = {
        { "N", NULL },
        { "a b", NULL },
        { " N", "N" },
        { "N ", "N" },
        { " a b ", "a b" },
        { "\\t\\nN\\r", "N" },
        { "\\u0020N\\u00a0", "N" },
        { "\xC2\xA0N\xE3\x80\x80", "N" },
        { "\xE2\x80\x83\\u2003N", "N" },
        { "\\u200bN", NULL },
        { " \\\\ ", "\\\\" },
        { " \\ud83d\\ude00 ", "\\ud83d\\ude00" },
        { "\\/ ", "\\/" },
    };

    (void) state;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        snprintf(body, sizeof(body), "{'name':'%s','audience_type':"
                 "'ENGAGEMENT','rule':{'engager_type':1}}", tests[i].name);

        if (tests[i].forwarded != NULL) {
            snprintf(want, sizeof(want), "{'name':'%s','audience_type':"
                     "'ENGAGEMENT','rule':{'engager_type':1}}",
                     tests[i].forwarded);
        }

        audience_expect(CREATE | LENIENT, body,
                        tests[i].forwarded ? want : UNCHANGED);
        audience_expect(CREATE, body, UNCHANGED);
    }

    audience_expect(CREATE | LENIENT, "{'name':' \\t ','audience_type':"
                    "'ENGAGEMENT','rule':{'engager_type':1}}",
                    "! empty /name");
}


/* Digits at the very end of what is no JSON: nothing is read behind them. */

static void
test_truncated(void **state)
{
    size_t           i, len;
    char            *body;
    audience_case_t  run;

    static const char  whole[] =
        "{'name':' N ','audience_type':'visitor','description':null,'rule':"
        "{'visitor_source_id':[1,'1',1],'retention_days':'\\u0035','event':"
        "'e','event_source':{'=':['WEB','web']},'event_data':{'currency':"
        "'usd','own':1,'own\\u0032':2,'order_quantity':'3','line_items':"
        "[{},{'product_id':null}]},'prefill':'true',"
        "'ad_account_id':549755885175}}";

    (void) state;

    body = audience_quotes(whole);
    len = strlen(body);

    for (i = 0; i < len; i++) {
        audience_run(&run, CREATE | LENIENT, body, i);

        assert_int_equal(run.verdict.nerrors, 1);
        assert_int_equal(run.verdict.errors[0].code, PINAUD_ERROR_SYNTAX);
        assert_true(run.verdict.errors[0].offset <= i);

        audience_free(&run);
    }

    audience_run(&run, CREATE | LENIENT, body, len);
    assert_true(run.verdict.valid);

    audience_free(&run);
    free(body);
}


/* Edits are reported once a member's value, by pointer and by label. */

static void
test_reports(void **state)
{
    size_t           i;
    char            *body, *edits;
    audience_case_t  run;

    static const struct {
        const char  *body;
        const char  *edits;
    } tests[] = {
        { "{'name':' N ','audience_type':'visitor','description':null,'rule':"
          "{'visitor_source_id':[1],'retention_days':'5','event':'e',"
          "'event_source':{'=':['WEB','web']},'event_data':{'currency':'usd',"
          "'line_items':[{},{'product_id':null}],'value':null},"
          "'prefill':'true'}}",
          "/name name, /audience_type audience_type, "
          "/description description, "
          "/rule/visitor_source_id rule.visitor_source_id, "
          "/rule/retention_days rule.retention_days, "
          "/rule/event_source/= rule.event_source, "
          "/rule/event_data/currency rule.event_data.currency, "
          "/rule/event_data/line_items/1/product_id "
          "rule.event_data.line_items.product_id, "
          "/rule/event_data/value rule.event_data.value, "
          "/rule/prefill rule.prefill" },
        { "{'name':'N','audience_type':'ENGAGEMENT','rule':{'pin_id':"
          "[1,2,1,'3'],'campaign_id':7,'ad_id':['1','2']}}",
          "/rule/pin_id rule.pin_id, /rule/campaign_id rule.campaign_id" },
        { "{'name':'N','audience_type':'VISITOR','rule':{'event':'e',"
          "'event_data':{'line_items':{'product_id':null}},"
          "'visitor_source_id':'1'}}",
          "/rule/event_data/line_items/product_id "
          "rule.event_data.line_items.product_id" },
        { "{'name':'N','audience_type':'ENGAGEMENT','rule':{'pin_id':"
          "['1']}}", "" },
    };

    (void) state;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        body = audience_quotes(tests[i].body);
        audience_run(&run, CREATE | LENIENT, body, strlen(body));
        assert_true(run.verdict.valid);

        edits = audience_edits(&run.verdict);
        assert_string_equal(edits, tests[i].edits);

        free(edits);
        free(body);
        audience_free(&run);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_nulls),
        cmocka_unit_test(test_not_documented),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
