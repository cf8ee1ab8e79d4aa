
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The contract as documented, member by member.
 */


#include <jansson.h>
#include "audience_case.h"
#include "pinaud_contract.h"


typedef struct {
    unsigned     flags;
    const char  *body;
    const char  *expected;
} body_case_t;


#define RULES(tests)                                                          \
    do {                                                                      \
        size_t  n_;                                                           \
                                                                              \
        for (n_ = 0; n_ < sizeof(tests) / sizeof(tests[0]); n_++) {           \
            audience_expect_rule(tests[n_].flags, tests[n_].body,             \
                                 tests[n_].expected);                         \
        }                                                                     \
    } while (0)

#define BODIES(tests)                                                         \
    do {                                                                      \
        size_t  n_;                                                           \
                                                                              \
        for (n_ = 0; n_ < sizeof(tests) / sizeof(tests[0]); n_++) {           \
            audience_expect(tests[n_].flags, tests[n_].body,                  \
                            tests[n_].expected);                              \
        }                                                                     \
    } while (0)


/* The example bodies with their verdicts. */

static void
test_conformance(void **state)
{
    FILE            *file;
    char             line[8192];
    size_t           n;
    json_t          *example, *forwarded, *want;
    unsigned         accept, flags;
    const char      *body, *operation, *rule;
    audience_case_t  run;

    (void) state;

    file = fopen("t/conformance/bodies.jsonl", "r");
    assert_non_null(file);

    for (n = 0; fgets(line, sizeof(line), file) != NULL; n++) {
        example = json_loads(line, 0, NULL);
        assert_non_null(example);

        operation = json_string_value(json_object_get(example, "operation"));
        body = json_string_value(json_object_get(example, "body"));
        accept = strcmp(json_string_value(json_object_get(example, "verdict")),
                        "accept") == 0;
        flags = strcmp(operation, "audiences/create") == 0 ? CREATE : 0;

        assert_string_equal(operation, pinaud_operation_name(flags));

        audience_run(&run, flags, body, strlen(body));

        if (run.verdict.valid != accept) {
            fail_msg("%s is %s", body, accept ? "refused" : "accepted");
        }

        rule = json_string_value(json_object_get(example, "forwarded_rule"));

        if (rule != NULL) {
            forwarded = json_loads(run.forwarded, 0, NULL);
            want = json_loads(rule, 0, NULL);
            assert_true(json_equal(json_object_get(forwarded, "rule"), want));
            json_decref(forwarded);
            json_decref(want);

        } else {
            assert_string_equal(run.forwarded, body);
        }

        audience_free(&run);
        json_decref(example);
    }

    fclose(file);
    assert_int_equal(n, 33);
}


static void
test_top_level(void **state)
{
    static const body_case_t  tests[] = {

        /* create_custom */

        { 0, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'sharing_type':'CUSTOM','data_party':'1p'}", UNCHANGED },
        { 0, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'sharing_type':'SYNDICATED','data_party':'3p',"
             "'category':'','ad_account_id':'549755885175'}", UNCHANGED },
        { 0, "{}", "! required /name, required /rule, required /data_party, "
                   "required /sharing_type" },
        { 0, "{'name':'','rule':[],'sharing_type':'PUBLIC',"
             "'data_party':'2p','category':1}",
             "! empty /name, type /rule, enum /sharing_type, "
             "enum /data_party, type /category" },
        { 0, "{'name':null,'rule':null,'sharing_type':null,'data_party':null,"
             "'category':null,'ad_account_id':null}",
             "! type /name, type /rule, type /sharing_type, "
             "type /data_party, type /category, type /ad_account_id" },
        { 0, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'sharing_type':'custom','data_party':'1P'}",
             "! enum /sharing_type, enum /data_party" },
        { 0, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'sharing_type':'','data_party':'1p '}",
             "! empty /sharing_type, enum /data_party" },
        { 0, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'sharing_type':['CUSTOM'],'data_party':{}}",
             "! type /sharing_type, type /data_party" },
        { 0, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'sharing_type':'\\u0043USTOM','data_party':'\\u0031p'}",
             UNCHANGED },
        { 0, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'sharing_type':'CUSTOM\\n','data_party':'1p'}",
             "! enum /sharing_type" },
        { 0, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'sharing_type':'CUSTOM_CUSTOM_CUSTOM_CUSTOM','data_party':"
             "'\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031"
             "\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031\\u0031'}",
             "! enum /sharing_type, enum /data_party" },

        /* members of the other operation */

        { 0, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'sharing_type':'CUSTOM','data_party':'1p',"
             "'audience_type':'CUSTOMER_LIST','description':'D'}",
             "! unknown /audience_type, unknown /description" },
        { CREATE, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'audience_type':'CUSTOMER_LIST','sharing_type':'CUSTOM',"
             "'data_party':'1p','category':'C'}",
             "! unknown /sharing_type, unknown /data_party, "
             "unknown /category" },

        /* create */

        { CREATE, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'audience_type':'CUSTOMER_LIST'}", UNCHANGED },
        { CREATE, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'audience_type':'CUSTOMER_LIST','description':''}", UNCHANGED },
        { CREATE, "{}", "! required /name, required /rule, "
             "required /audience_type" },
        { CREATE, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'audience_type':'PERSONA'}", "! enum /audience_type" },
        { CREATE, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'audience_type':'visitor'}", "! enum /audience_type" },
        { CREATE, "{'name':'N','rule':{'customer_list_id':'1'},"
             "'audience_type':1,'description':null}",
             "! type /audience_type, type /description" },

        /* names */

        { CREATE, "{'name':1,'rule':{'pin_id':['1']},"
                  "'audience_type':'ENGAGEMENT'}", "! type /name" },
        { CREATE, "{'name':' ','rule':{'pin_id':['1']},"
                  "'audience_type':'ENGAGEMENT'}", "! empty /name" },
        { CREATE, "{'name':' \\t\\n\\r\\f\\u000b\\u0020','rule':{'pin_id':"
                  "['1']},'audience_type':'ENGAGEMENT'}", "! empty /name" },
        { CREATE, "{'name':'\\u00a0\xC2\xA0\xE2\x80\x83\xE3\x80\x80\xC2\x85"
                  "\xE1\x9A\x80\\u2028\\u2029\\u202f\\u205f','rule':"
                  "{'pin_id':['1']},'audience_type':'ENGAGEMENT'}",
                  "! empty /name" },
        { CREATE, "{'name':' x ','rule':{'pin_id':['1']},"
                  "'audience_type':'ENGAGEMENT'}", UNCHANGED },
        { CREATE, "{'name':'\xE2\x80\x8B','rule':{'pin_id':['1']},"
                  "'audience_type':'ENGAGEMENT'}", UNCHANGED },
        { CREATE, "{'name':'\\u0001','rule':{'pin_id':['1']},"
                  "'audience_type':'ENGAGEMENT'}", UNCHANGED },
        { CREATE, "{'name':'\\\\','rule':{'pin_id':['1']},"
                  "'audience_type':'ENGAGEMENT'}", UNCHANGED },
        { CREATE, "{'name':'\xF0\x9F\x98\x80 \\ud83d\\ude00 \xC3\xA9','rule':"
                  "{'pin_id':['1']},'audience_type':'ENGAGEMENT'}",
                  UNCHANGED },

        /* what is no object */

        { 0, "[]", "! type " },
        { 0, "[{'name':'N'},{'a':1,'a':2}]", "! type , duplicate /1/a" },
        { 0, "'{}'", "! type " },
        { 0, "1", "! type " },
        { 0, "null", "! type " },
        { 0, "", "! syntax 0" },
        { 0, " ", "! syntax 1" },

        /* these come alone */

        { 0, "{'name':1,'name':2,'x':3,}", "! syntax 25" },
        { 0, "{'name':1,'x':'\\ud800'}", "! encoding 15" },
        { 0, "{'x':[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]"
             "]]]]]]}", "! depth 36" },
        { FORWARD, "{'x':[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]"
             "]]]]]]]]]],'name':'N','rule':{'customer_list_id':'1'},"
             "'sharing_type':'CUSTOM','data_party':'1p'}", UNCHANGED },
        { 0, "{'name':'N'} {}", "! syntax 13" },
        { 0, "{'rule':{'retention_days':1e400}}", "! syntax 26" },
        { 0, "\xEF\xBB\xBF{}", "! encoding 0" },
    };

    (void) state;

    BODIES(tests);
}


static void
test_unknown_and_duplicate(void **state)
{
    static const body_case_t  tests[] = {
        { 0, "{'customer_list_id':'1','x':1}", "! unknown /rule/x" },
        { 0, "{'customer_list_id':'1','x':1,'x':2}",
             "! unknown /rule/x, unknown /rule/x" },
        { FORWARD, "{'customer_list_id':'1','x':1}", UNCHANGED },
        { FORWARD, "{'customer_list_id':'1','x':1,'x':2}",
                   "! duplicate /rule/x" },
        { FORWARD, "{'customer_list_id':'1','x':1,'\\u0078':2,'x':3}",
                   "! duplicate /rule/x, duplicate /rule/x" },
        { FORWARD, "{'customer_list_id':'1','':1,'':2}", "! duplicate /rule/" },
        { FORWARD, "{'customer_list_id':'1','x':1,'X':2,'x ':3,'xx':4}",
                   UNCHANGED },
        { 0, "{'customer_list_id':'1','customer_list_id':'2'}",
             "! duplicate /rule/customer_list_id" },
        { 0, "{'customer_list_id':'1','customer_list_\\u0069d':2}",
             "! duplicate /rule/customer_list_id" },
        { 0, "{'\\u0063ustomer_list_id':'1'}", UNCHANGED },
        { 0, "{'\\u0063\\u0075\\u0073\\u0074\\u006f\\u006d\\u0065\\u0072"
             "\\u005f\\u006c\\u0069\\u0073\\u0074\\u005f\\u0069\\u0064':'1'}",
             UNCHANGED },
        { 0, "{'\\u0063ustomer_list_id_and_more':'1','customer_list_id':'1'}",
             "! unknown /rule/customer_list_id_and_more" },
        { 0, "{'customer_list_id':'1','pin_id:':['1']}",
             "! unknown /rule/pin_id:" },
        { 0, "{'customer_list_id':'1','Customer_list_id':'1'}",
             "! unknown /rule/Customer_list_id" },
        { 0, "{'customer_list_id':'1','customer_list_id ':'1'}",
             "! unknown /rule/customer_list_id " },

        /* in what is unknown, JSON's own rules go on */

        { 0, "{'customer_list_id':'1','x':{'a':1,'a':2}}",
             "! unknown /rule/x, duplicate /rule/x/a" },
        { FORWARD, "{'customer_list_id':'1','x':[0,{'a':{'b':1,'b':2}}]}",
                   "! duplicate /rule/x/1/a/b" },
        { FORWARD, "{'customer_list_id':'1','x':[[],[{}],{'a':1},{'a':1}]}",
                   UNCHANGED },
        { FORWARD, "{'customer_list_id':'1','x':{'name':1,'rule':2}}",
                   UNCHANGED },
        { 0, "{'customer_list_id':{'a':1,'a':1}}",
             "! type /rule/customer_list_id, "
             "duplicate /rule/customer_list_id/a" },
        { 0, "{'seed_id':['1',{'a':1,'a':1}]}",
             "! duplicate /rule/seed_id/1/a, type /rule/seed_id/1" },
        { 0, "{'customer_list_id':'1','customer_list_id':{'a':1,'a':1}}",
             "! duplicate /rule/customer_list_id, "
             "duplicate /rule/customer_list_id/a" },

        /* pointers */

        { 0, "{'customer_list_id':'1','a~b/c\\/d':1,'~1':2,'~0':3}",
             "! unknown /rule/a~0b~1c~1d, unknown /rule/~01, "
             "unknown /rule/~00" },
        { 0, "{'customer_list_id':'1','\\u00e9\\n\\ud83d\\ude00\xC3\xA9':1}",
             "! unknown /rule/\xC3\xA9\n\xF0\x9F\x98\x80\xC3\xA9" },
        { 0, "{'customer_list_id':'1','':1}", "! unknown /rule/" },
    };

    (void) state;

    RULES(tests);
}


static void
test_rule_types(void **state)
{
    static const body_case_t  tests[] = {
        { 0, "{}", "! audience_type /rule" },
        { 0, "{'retention_days':1}", "! audience_type /rule" },
        { 0, "{'url':'u','ad_account_id':'549755885175'}",
             "! audience_type /rule" },
        { 0, "{'x':1}", "! unknown /rule/x, audience_type /rule" },
        { FORWARD, "{'x':1}", "! audience_type /rule" },
        { 0, "{'customer_list_id':'1','seed_id':['1']}",
             "! audience_type /rule" },
        { 0, "{'customer_list_id':'1','country':'US'}",
             "! audience_type /rule" },
        { 0, "{'visitor_source_id':'1','engager_type':1}",
             "! audience_type /rule" },
        { 0, "{'seed_id':['1'],'prefill':true,'pin_id':['1']}",
             "! audience_type /rule" },

        /* each of several by itself, what a type needs not at all */

        { 0, "{'event_data':{},'percentage':11,'retention_days':0}",
             "! range /rule/percentage, range /rule/retention_days, "
             "audience_type /rule" },
        { 0, "{'country':'US','event':'e','url':'u'}",
             "! audience_type /rule" },
        { 0, "{'url':1}", "! type /rule/url, audience_type /rule" },

        /* a wrong value tells its type all the same */

        { 0, "{'customer_list_id':1}", "! type /rule/customer_list_id" },
        { 0, "{'customer_list_id':null,'seed_id':['1']}",
             "! type /rule/customer_list_id, audience_type /rule" },

        /* what each type needs */

        { 0, "{'percentage':1}", "! required /rule/seed_id" },
        { 0, "{'country':'US'}", "! required /rule/seed_id" },
        { 0, "{'event':'e'}", "! required /rule/visitor_source_id" },
        { 0, "{'prefill':true}", "! required /rule/visitor_source_id" },
        { 0, "{'event_source':{'=':['web']}}",
             "! required /rule/visitor_source_id" },
        { 0, "{'ingestion_source':{'=':['tag']}}",
             "! required /rule/visitor_source_id" },
        { 0, "{'event_data':{}}", "! required /rule/event, "
             "required /rule/visitor_source_id" },
        { 0, "{'visitor_source_id':'1','event_data':{}}",
             "! required /rule/event" },
        { 0, "{'visitor_source_id':'1','event_data':{},'event':'e'}",
             UNCHANGED },
        { 0, "{'visitor_source_id':'1','event_data':1}",
             "! type /rule/event_data, required /rule/event" },
        { 0, "{'engagement_domain':['d']}", UNCHANGED },
        { 0, "{'engagement_type':'like'}", UNCHANGED },
        { 0, "{'engager_type':2}", UNCHANGED },
        { 0, "{'pin_id':['1']}", UNCHANGED },
        { 0, "{'campaign_id':['1']}", UNCHANGED },
        { 0, "{'ad_id':['1']}", UNCHANGED },
        { 0, "{'objective_type':['AWARENESS']}", UNCHANGED },

        /* retention_days and url */

        { 0, "{'visitor_source_id':'1','retention_days':1,'url':'u'}",
             UNCHANGED },
        { 0, "{'pin_id':['1'],'retention_days':540,'url':'u'}", UNCHANGED },
        { 0, "{'customer_list_id':'1','retention_days':1,'url':'u'}",
             "! conflict /rule/url, conflict /rule/retention_days" },
        { 0, "{'seed_id':['1'],'retention_days':1,'url':{'=':'u'}}",
             "! conflict /rule/url, conflict /rule/retention_days" },
        { 0, "{'customer_list_id':'1','retention_days':0,'url':''}",
             "! range /rule/retention_days, empty /rule/url" },
        { 0, "{'customer_list_id':'1','ad_account_id':'549755885175'}",
             UNCHANGED },
        { 0, "{'seed_id':['1'],'ad_account_id':'549755885175'}", UNCHANGED },
    };

    static const body_case_t  bodies[] = {
        { CREATE, "{'name':'N','rule':{'customer_list_id':'1'},"
                  "'audience_type':'VISITOR'}", "! audience_type /rule" },
        { CREATE, "{'name':'N','audience_type':'ACTALIKE',"
                  "'rule':{'engager_type':1}}", "! audience_type /rule" },
        { CREATE, "{'name':'N','audience_type':'ACTALIKE',"
                  "'rule':{'seed_id':['1']}}", UNCHANGED },
        { CREATE, "{'name':'N','audience_type':'VISITOR',"
                  "'rule':{'visitor_source_id':'1'}}", UNCHANGED },
        { CREATE, "{'name':'N','audience_type':'ENGAGEMENT',"
                  "'rule':{'ad_id':['1']}}", UNCHANGED },
        { CREATE, "{'name':'N','audience_type':'VISITOR','rule':{}}",
                  "! audience_type /rule" },
        { CREATE, "{'name':'N','audience_type':'VISITOR','rule':[]}",
                  "! type /rule" },
        { CREATE, "{'name':'N','audience_type':'VISITOR'}",
                  "! required /rule" },
        { CREATE, "{'name':'N','rule':{'event':'e'}}",
                  "! required /rule/visitor_source_id, "
                  "required /audience_type" },
        { CREATE, "{'name':'N','audience_type':'X','rule':{'event':'e'}}",
                  "! enum /audience_type, required /rule/visitor_source_id" },
        { CREATE, "{'name':'N','audience_type':'ACTALIKE',"
                  "'rule':{'event':'e'}}",
                  "! required /rule/visitor_source_id, audience_type /rule" },
        { CREATE, "{'name':'N','audience_type':'ACTALIKE','rule':"
                  "{'seed_id':['1']},'rule':{'event':'e'}}",
                  "! duplicate /rule" },
    };

    (void) state;

    RULES(tests);
    BODIES(bodies);
}


static void
test_ids(void **state)
{
    static const body_case_t  tests[] = {
        { 0, "{'customer_list_id':'0'}", UNCHANGED },
        { 0, "{'customer_list_id':'007'}", UNCHANGED },
        { 0, "{'customer_list_id':'99999999999999999999999999999999999999'}",
             UNCHANGED },
        { 0, "{'customer_list_id':'\\u0031\\u0032'}", UNCHANGED },
        { 0, "{'customer_list_id':''}", "! empty /rule/customer_list_id" },
        { 0, "{'customer_list_id':'1\\n'}",
             "! pattern /rule/customer_list_id" },
        { 0, "{'customer_list_id':' 1'}", "! pattern /rule/customer_list_id" },
        { 0, "{'customer_list_id':'-1'}", "! pattern /rule/customer_list_id" },
        { 0, "{'customer_list_id':'+1'}", "! pattern /rule/customer_list_id" },
        { 0, "{'customer_list_id':'1.0'}", "! pattern /rule/customer_list_id" },
        { 0, "{'customer_list_id':'0x1'}", "! pattern /rule/customer_list_id" },
        { 0, "{'customer_list_id':'1\\u0061'}",
             "! pattern /rule/customer_list_id" },
        { 0, "{'customer_list_id':'\xD9\xA1\xD9\xA2'}",
             "! pattern /rule/customer_list_id" },
        { 0, "{'customer_list_id':'\\uff11'}",
             "! pattern /rule/customer_list_id" },
        { 0, "{'customer_list_id':'\xEF\xBC\x91'}",
             "! pattern /rule/customer_list_id" },
        { 0, "{'customer_list_id':1}", "! type /rule/customer_list_id" },
        { 0, "{'customer_list_id':true}", "! type /rule/customer_list_id" },
        { 0, "{'customer_list_id':null}", "! type /rule/customer_list_id" },
        { 0, "{'customer_list_id':['1']}", "! type /rule/customer_list_id" },
        { 0, "{'customer_list_id':{}}", "! type /rule/customer_list_id" },

        { 0, "{'seed_id':['1','22']}", UNCHANGED },
        { 0, "{'seed_id':['1','1']}", UNCHANGED },
        { 0, "{'seed_id':[]}", "! empty /rule/seed_id" },
        { 0, "{'seed_id':'1'}", "! type /rule/seed_id" },
        { 0, "{'seed_id':1}", "! type /rule/seed_id" },
        { 0, "{'seed_id':{}}", "! type /rule/seed_id" },
        { 0, "{'seed_id':[1]}", "! type /rule/seed_id/0" },
        { 0, "{'seed_id':['1',null]}", "! type /rule/seed_id/1" },
        { 0, "{'seed_id':['1',['2']]}", "! type /rule/seed_id/1" },
        { 0, "{'seed_id':['1','','x',1]}", "! type /rule/seed_id/3" },
        { 0, "{'seed_id':['1','x','']}", "! empty /rule/seed_id/2" },
        { 0, "{'seed_id':['1','x','y']}", "! pattern /rule/seed_id/1" },
        { 0, "{'pin_id':['a'],'campaign_id':[1],'ad_id':[]}",
             "! pattern /rule/pin_id/0, type /rule/campaign_id/0, "
             "empty /rule/ad_id" },
        { 0, "{'pin_id':'1','campaign_id':null,'ad_id':'a'}",
             "! type /rule/pin_id, type /rule/campaign_id, "
             "type /rule/ad_id" },

        /* visitor_source_id */

        { 0, "{'visitor_source_id':'1'}", UNCHANGED },
        { 0, "{'visitor_source_id':['1']}", "{'visitor_source_id':'1'}" },
        { 0, "{'visitor_source_id' : [ '\\u0031' ] }",
             "{'visitor_source_id' : '\\u0031' }" },
        { 0, "{'visitor_source_id':[]}", "! empty /rule/visitor_source_id" },
        { 0, "{'visitor_source_id':['1','2']}",
             "! type /rule/visitor_source_id" },
        { 0, "{'visitor_source_id':['1','1']}",
             "! type /rule/visitor_source_id" },
        { 0, "{'visitor_source_id':['1','x']}",
             "! type /rule/visitor_source_id" },
        { 0, "{'visitor_source_id':['x']}",
             "! pattern /rule/visitor_source_id/0" },
        { 0, "{'visitor_source_id':[1]}", "! type /rule/visitor_source_id/0" },
        { 0, "{'visitor_source_id':[['1']]}",
             "! type /rule/visitor_source_id/0" },
        { 0, "{'visitor_source_id':1}", "! type /rule/visitor_source_id" },
        { 0, "{'visitor_source_id':''}", "! empty /rule/visitor_source_id" },
        { 0, "{'visitor_source_id':{}}", "! type /rule/visitor_source_id" },

        /* ad_account_id */

        { 0, "{'pin_id':['1'],'ad_account_id':'549755885175'}", UNCHANGED },
        { 0, "{'pin_id':['1'],'ad_account_id':'\\u00354975588517\\u0035'}",
             UNCHANGED },
        { 0, "{'pin_id':['1'],'ad_account_id':'549755885176'}",
             "! conflict /rule/ad_account_id" },
        { 0, "{'pin_id':['1'],'ad_account_id':'0549755885175'}",
             "! conflict /rule/ad_account_id" },
        { 0, "{'pin_id':['1'],'ad_account_id':'54975588517'}",
             "! conflict /rule/ad_account_id" },
        { 0, "{'pin_id':['1'],'ad_account_id':'1234567890123456789'}",
             "! conflict /rule/ad_account_id" },
        { 0, "{'pin_id':['1'],'ad_account_id':549755885175}",
             "! type /rule/ad_account_id" },
        { 0, "{'pin_id':['1'],'ad_account_id':''}",
             "! empty /rule/ad_account_id" },
        { 0, "{'pin_id':['1'],'ad_account_id':'549755885175 '}",
             "! pattern /rule/ad_account_id" },
        { 0, "{'pin_id':['1'],'ad_account_id':['549755885175']}",
             "! type /rule/ad_account_id" },
        { NO_PATH, "{'pin_id':['1'],'ad_account_id':'123456789012345678'}",
             UNCHANGED },
        { NO_PATH, "{'pin_id':['1'],'ad_account_id':'1234567890123456789'}",
             "! conflict /rule/ad_account_id" },
    };

    static const body_case_t  bodies[] = {
        { CREATE | NO_PATH, "{'ad_account_id':'1','name':'N','audience_type':"
             "'ENGAGEMENT','rule':{'pin_id':['1'],'ad_account_id':'1'}}",
             UNCHANGED },
        { CREATE | NO_PATH, "{'ad_account_id':'1','name':'N','audience_type':"
             "'ENGAGEMENT','rule':{'pin_id':['1'],'ad_account_id':'2'}}",
             "! conflict /rule/ad_account_id" },
        { CREATE | NO_PATH, "{'ad_account_id':'12','name':'N','audience_type':"
             "'ENGAGEMENT','rule':{'pin_id':['1'],'ad_account_id':"
             "'\\u00312'}}", UNCHANGED },
        { CREATE, "{'ad_account_id':'1','name':'N','audience_type':"
             "'ENGAGEMENT','rule':{'pin_id':['1'],'ad_account_id':'1'}}",
             "! conflict /ad_account_id, conflict /rule/ad_account_id" },
    };

    (void) state;

    RULES(tests);
    BODIES(bodies);
}


static void
test_integers(void **state)
{
    static const body_case_t  tests[] = {
        { 0, "{'seed_id':['1'],'percentage':1}", UNCHANGED },
        { 0, "{'seed_id':['1'],'percentage':10}", UNCHANGED },
        { 0, "{'seed_id':['1'],'percentage':0}", "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':-0}", "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':11}", "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':-1}", "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':4294967297}",
             "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':18446744073709551617}",
             "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':"
             "1000000000000000000000000000000000000000000000000000000000000}",
             "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':10.0}", "! type /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':1e1}", "! type /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':true}", "! type /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':null}", "! type /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':[1]}", "! type /rule/percentage" },

        { 0, "{'seed_id':['1'],'percentage':'10'}",
             "{'seed_id':['1'],'percentage':10}" },
        { 0, "{'seed_id':['1'],'percentage':'\\u0031\\u0030'}",
             "{'seed_id':['1'],'percentage':10}" },
        { 0, "{'seed_id':['1'],'percentage':'1\\u0030'}",
             "{'seed_id':['1'],'percentage':10}" },
        { 0, "{'seed_id':['1'],'percentage':'0'}", "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'11'}",
             "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'-5'}",
             "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':"
             "'100000000000000000000000000000000000000000000000000000000'}",
             "! range /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':''}", "! empty /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'010'}",
             "! pattern /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'+1'}",
             "! pattern /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'-'}",
             "! pattern /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'-0'}",
             "! pattern /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'-01'}",
             "! pattern /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':' 1'}",
             "! pattern /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'1\\n'}",
             "! pattern /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'1.0'}",
             "! pattern /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'1e0'}",
             "! pattern /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'ten'}",
             "! pattern /rule/percentage" },
        { 0, "{'seed_id':['1'],'percentage':'\xD9\xA1'}",
             "! pattern /rule/percentage" },

        { 0, "{'pin_id':['1'],'retention_days':540}", UNCHANGED },
        { 0, "{'pin_id':['1'],'retention_days':541}",
             "! range /rule/retention_days" },
        { 0, "{'pin_id':['1'],'retention_days':0}",
             "! range /rule/retention_days" },
        { 0, "{'pin_id':['1'],'retention_days':'180' }",
             "{'pin_id':['1'],'retention_days':180 }" },
        { 0, "{'pin_id':['1'],'retention_days':'541'}",
             "! range /rule/retention_days" },
        { 0, "{'pin_id':['1'],'retention_days':'0180'}",
             "! pattern /rule/retention_days" },
        { 0, "{'pin_id':['1'],'retention_days':180.0}",
             "! type /rule/retention_days" },

        { 0, "{'engager_type':1}", UNCHANGED },
        { 0, "{'engager_type':0}", "! range /rule/engager_type" },
        { 0, "{'engager_type':3}", "! range /rule/engager_type" },
        { 0, "{'engager_type':'1'}", "! type /rule/engager_type" },
        { 0, "{'engager_type':false}", "! type /rule/engager_type" },
    };

    (void) state;

    RULES(tests);
}


static void
test_lists(void **state)
{
    static const body_case_t  tests[] = {
        { 0, "{'seed_id':['1'],'country':'US'}", UNCHANGED },
        { 0, "{'seed_id':['1'],'country':'ZZ'}", UNCHANGED },
        { 0, "{'seed_id':['1'],'country':'\\u0055S'}", UNCHANGED },
        { 0, "{'seed_id':['1'],'country':'us'}", "! pattern /rule/country" },
        { 0, "{'seed_id':['1'],'country':'USA'}", "! pattern /rule/country" },
        { 0, "{'seed_id':['1'],'country':'U'}", "! pattern /rule/country" },
        { 0, "{'seed_id':['1'],'country':'U1'}", "! pattern /rule/country" },
        { 0, "{'seed_id':['1'],'country':'\xC3\x89'}",
             "! pattern /rule/country" },
        { 0, "{'seed_id':['1'],'country':'\\u0055\\u0053\\u0041'}",
             "! pattern /rule/country" },
        { 0, "{'seed_id':['1'],'country':''}", "! empty /rule/country" },
        { 0, "{'seed_id':['1'],'country':1}", "! type /rule/country" },
        { 0, "{'seed_id':['1'],'country':['US']}", "! type /rule/country" },

        { 0, "{'engagement_type':'click'}", UNCHANGED },
        { 0, "{'engagement_type':'save'}", UNCHANGED },
        { 0, "{'engagement_type':'closeup'}", UNCHANGED },
        { 0, "{'engagement_type':'comment'}", UNCHANGED },
        { 0, "{'engagement_type':'Click'}", "! enum /rule/engagement_type" },
        { 0, "{'engagement_type':'share'}", "! enum /rule/engagement_type" },
        { 0, "{'engagement_type':''}", "! empty /rule/engagement_type" },
        { 0, "{'engagement_type':['click']}", "! type /rule/engagement_type" },

        { 0, "{'objective_type':['AWARENESS','CONSIDERATION','WEB_CONVERSION',"
             "'CATALOG_SALES','VIDEO_COMPLETION','AWARENESS']}", UNCHANGED },
        { 0, "{'objective_type':['VIDEO_VIEW']}",
             "! enum /rule/objective_type/0" },
        { 0, "{'objective_type':['AWARENESS','WEB_SESSIONS']}",
             "! enum /rule/objective_type/1" },
        { 0, "{'objective_type':['awareness']}",
             "! enum /rule/objective_type/0" },
        { 0, "{'objective_type':[]}", "! empty /rule/objective_type" },
        { 0, "{'objective_type':'AWARENESS'}", "! type /rule/objective_type" },
        { 0, "{'objective_type':['x',1]}", "! type /rule/objective_type/1" },

        { 0, "{'engagement_domain':['www.example.com','']}",
             "! empty /rule/engagement_domain/1" },
        { 0, "{'engagement_domain':['a','a',' ']}", UNCHANGED },
        { 0, "{'engagement_domain':[]}", "! empty /rule/engagement_domain" },
        { 0, "{'engagement_domain':'a'}", "! type /rule/engagement_domain" },
        { 0, "{'engagement_domain':[1]}", "! type /rule/engagement_domain/0" },

        { 0, "{'visitor_source_id':'1','event_source':{'=':['web','mobile',"
             "'offline']},'ingestion_source':{'=':['tag','mmp','file_upload',"
             "'conversions_api']}}", UNCHANGED },
        { 0, "{'visitor_source_id':'1','event_source':{'\\u003d':['web']}}",
             UNCHANGED },
        { 0, "{'visitor_source_id':'1','event_source':{'=':[]}}",
             "! empty /rule/event_source/=" },
        { 0, "{'visitor_source_id':'1','event_source':{'=':'web'}}",
             "! type /rule/event_source/=" },
        { 0, "{'visitor_source_id':'1','event_source':{'=':['tag']}}",
             "! enum /rule/event_source/=/0" },
        { 0, "{'visitor_source_id':'1','ingestion_source':{'=':['web']}}",
             "! enum /rule/ingestion_source/=/0" },
        { 0, "{'visitor_source_id':'1','event_source':{'=':['Web']}}",
             "! enum /rule/event_source/=/0" },
        { 0, "{'visitor_source_id':'1','event_source':{'=':null}}",
             "! type /rule/event_source/=" },
        { 0, "{'visitor_source_id':'1','event_source':{}}",
             "! required /rule/event_source/=" },
        { 0, "{'visitor_source_id':'1','event_source':{'!=':['web']}}",
             "! unknown /rule/event_source/!=, "
             "required /rule/event_source/=" },
        { FORWARD, "{'visitor_source_id':'1','event_source':{'=':['web'],"
             "'!=':['web']}}", UNCHANGED },
        { FORWARD, "{'visitor_source_id':'1','event_source':{'=':['web'],"
             "'=':['web']}}", "! duplicate /rule/event_source/=" },
        { 0, "{'visitor_source_id':'1','event_source':['web']}",
             "! type /rule/event_source" },
        { 0, "{'visitor_source_id':'1','event_source':'web'}",
             "! type /rule/event_source" },

        { 0, "{'visitor_source_id':'1','prefill':false}", UNCHANGED },
        { 0, "{'visitor_source_id':'1','prefill':'true'}",
             "! type /rule/prefill" },
        { 0, "{'visitor_source_id':'1','prefill':1}", "! type /rule/prefill" },
        { 0, "{'visitor_source_id':'1','prefill':null}",
             "! type /rule/prefill" },

        { 0, "{'visitor_source_id':'1','event':'my own event'}", UNCHANGED },
        { 0, "{'visitor_source_id':'1','event':' '}", UNCHANGED },
        { 0, "{'visitor_source_id':'1','event':''}", "! empty /rule/event" },
        { 0, "{'visitor_source_id':'1','event':['e']}", "! type /rule/event" },
    };

    (void) state;

    RULES(tests);
}


static void
test_url(void **state)
{
    static const body_case_t  tests[] = {
        { 0, "{'pin_id':['1'],'url':'u'}", UNCHANGED },
        { 0, "{'pin_id':['1'],'url':''}", "! empty /rule/url" },
        { 0, "{'pin_id':['1'],'url':1}", "! type /rule/url" },
        { 0, "{'pin_id':['1'],'url':null}", "! type /rule/url" },
        { 0, "{'pin_id':['1'],'url':[ 'u' , 'v' ]}", UNCHANGED },
        { 0, "{'pin_id':['1'],'url':['u']}", UNCHANGED },
        { 0, "{'pin_id':['1'],'url':[]}", "! empty /rule/url" },
        { 0, "{'pin_id':['1'],'url':['u','']}", "! empty /rule/url/1" },
        { 0, "{'pin_id':['1'],'url':['u',1]}", "! type /rule/url/1" },
        { 0, "{'pin_id':['1'],'url':[{'=':'u'}]}", "! type /rule/url/0" },
        { 0, "{'pin_id':['1'],'url':[['u']]}", "! type /rule/url/0" },
        { 0, "{'pin_id':['1'],'url':{'=':'u'}}", UNCHANGED },
        { 0, "{'pin_id':['1'],'url':{'!=':'u'}}", UNCHANGED },
        { 0, "{'pin_id':['1'],'url':{'contains':'u'}}", UNCHANGED },
        { 0, "{'pin_id':['1'],'url':{'not_contains':'u'}}", UNCHANGED },
        { 0, "{'pin_id':['1'],'url':{}}", "! empty /rule/url" },
        { 0, "{'pin_id':['1'],'url':{'=':''}}", "! empty /rule/url/=" },
        { 0, "{'pin_id':['1'],'url':{'=':['u']}}", "! type /rule/url/=" },
        { 0, "{'pin_id':['1'],'url':{'=':null}}", "! type /rule/url/=" },
        { 0, "{'pin_id':['1'],'url':{'=':'u','contains':'v'}}",
             "! conflict /rule/url/contains" },
        { 0, "{'pin_id':['1'],'url':{'=':1,'contains':'v','!=':2}}",
             "! type /rule/url/=, conflict /rule/url/contains, "
             "type /rule/url/!=" },
        { 0, "{'pin_id':['1'],'url':{'=':'u','=':'u'}}",
             "! duplicate /rule/url/=" },
        { 0, "{'pin_id':['1'],'url':{'~':'u'}}",
             "! unknown /rule/url/~0, empty /rule/url" },
        { FORWARD, "{'pin_id':['1'],'url':{'~':'u','=':'u'}}", UNCHANGED },
        { FORWARD, "{'pin_id':['1'],'url':{'~':'u'}}", "! empty /rule/url" },
    };

    (void) state;

    RULES(tests);
}


static void
test_event_data(void **state)
{
    size_t  i;
    char    rule[1024], want[1024];

    static const struct {
        const char  *data;
        const char  *expected;     /* errors, with . for the path */
    } tests[] = {
        { "{}", NULL },
        { "[]", "type " },
        { "'x'", "type " },
        { "null", "type " },

        { "{'currency':'USD'}", NULL },
        { "{'currency':'UNK'}", NULL },
        { "{'currency':'TRY'}", NULL },
        { "{'currency':'usd'}", "enum /currency" },
        { "{'currency':'RUB'}", "enum /currency" },
        { "{'currency':''}", "empty /currency" },
        { "{'currency':1}", "type /currency" },
        { "{'currency':null}", "type /currency" },

        { "{'order_quantity':2}", NULL },
        { "{'order_quantity':-2}", NULL },
        { "{'order_quantity':123456789012345678901234567890}", NULL },
        { "{'order_quantity':2.0}", "type /order_quantity" },
        { "{'order_quantity':'2'}", "type /order_quantity" },

        { "{'value':'199.98'}", NULL },
        { "{'value':''}", NULL },
        { "{'value':116.10}", NULL },
        { "{'value':-1e-400}", NULL },
        { "{'value':116}", NULL },
        { "{'value':true}", "type /value" },
        { "{'value':[1]}", "type /value" },

        { "{'order_id':'','page_name':'','promo_code':'','property':'',"
          "'search_query':'','video_title':'','lead_type':''}", NULL },
        { "{'order_id':1}", "type /order_id" },
        { "{'page_name':1.5}", "type /page_name" },
        { "{'promo_code':true}", "type /promo_code" },
        { "{'property':null}", "type /property" },
        { "{'search_query':[]}", "type /search_query" },
        { "{'video_title':{}}", "type /video_title" },
        { "{'lead_type':0}", "type /lead_type" },

        { "{'own':1,'Own':[null,{'a':true}],'':''}", NULL },
        { "{'own':1,'own':2}", "duplicate /own" },
        { "{'own':1,'\\u006fwn':2}", "duplicate /own" },
        { "{'own':{'a':1,'a':1}}", "duplicate /own/a" },
        { "{'value':1,'value':2}", "duplicate /value" },

        { "{'line_items':{}}", NULL },
        { "{'line_items':[{}]}", NULL },
        { "{'line_items':[{},{}]}", NULL },
        { "{'line_items':[]}", "empty /line_items" },
        { "{'line_items':'x'}", "type /line_items" },
        { "{'line_items':null}", "type /line_items" },
        { "{'line_items':[[{}]]}", "type /line_items/0" },
        { "{'line_items':[{},null]}", "type /line_items/1" },

        { "{'line_items':{'product_id':11,'product_quantity':'1',"
          "'product_price':'48.0','product_name':'','product_category':'',"
          "'product_brand':'','product_variant':'','product_variant_id':''}}",
          NULL },
        { "{'line_items':[{'product_id':'11','product_quantity':1,"
          "'product_price':48.50}]}", NULL },
        { "{'line_items':{'product_id':1.5}}", "type /line_items/product_id" },
        { "{'line_items':[{'product_id':true}]}",
          "type /line_items/0/product_id" },
        { "{'line_items':[{},{'product_quantity':1.0}]}",
          "type /line_items/1/product_quantity" },
        { "{'line_items':[{'product_price':null}]}",
          "type /line_items/0/product_price" },
        { "{'line_items':[{'product_name':1}]}",
          "type /line_items/0/product_name" },
        { "{'line_items':[{'product_category':1}]}",
          "type /line_items/0/product_category" },
        { "{'line_items':[{'product_brand':1}]}",
          "type /line_items/0/product_brand" },
        { "{'line_items':[{'product_variant':1}]}",
          "type /line_items/0/product_variant" },
        { "{'line_items':[{'product_variant_id':1}]}",
          "type /line_items/0/product_variant_id" },
        { "{'line_items':[{'own':[1]},{'own':2,'more':null}]}", NULL },
        { "{'line_items':[{'own':1},{'own':2,'own':3}]}",
          "duplicate /line_items/1/own" },
        { "{'line_items':[{'product_id':1,'product_id':1}]}",
          "duplicate /line_items/0/product_id" },
    };

    (void) state;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        snprintf(rule, sizeof(rule), "{'visitor_source_id':'1','event':'e',"
                 "'event_data':%s}", tests[i].data);

        if (tests[i].expected == NULL) {
            strcpy(want, UNCHANGED);

        } else {
            const char  *space = strchr(tests[i].expected, ' ');

            snprintf(want, sizeof(want), "! %.*s /rule/event_data%s",
                     (int) (space - tests[i].expected), tests[i].expected,
                     space + 1);
        }

        audience_expect_rule(0, rule, want);
        audience_expect_rule(FORWARD, rule, want);
    }
}


/* Everything that is not edited leaves as it came. */

static void
test_bytes(void **state)
{
    static const body_case_t  tests[] = {
        { 0, " {\t'rule' :\r\n{ 'percentage' : '7' , 'seed_id':[ '1','1' ] }"
             " , 'name':'\\u00e9\\/','data_party': '1p',\n'sharing_type':"
             "'CUSTOM' } \n",
             " {\t'rule' :\r\n{ 'percentage' : 7 , 'seed_id':[ '1','1' ] }"
             " , 'name':'\\u00e9\\/','data_party': '1p',\n'sharing_type':"
             "'CUSTOM' } \n" },
        { 0, "{'name':'N','sharing_type':'CUSTOM','data_party':'1p','rule':"
             "{'retention_days':'30','visitor_source_id':['5'],'event':'e',"
             "'event_data':{'value':116.10,'x':1.0e+05,'y':-0,"
             "'z':100000000000000000000000000000000000001}}}",
             "{'name':'N','sharing_type':'CUSTOM','data_party':'1p','rule':"
             "{'retention_days':30,'visitor_source_id':'5','event':'e',"
             "'event_data':{'value':116.10,'x':1.0e+05,'y':-0,"
             "'z':100000000000000000000000000000000000001}}}" },
        { FORWARD, "{'name':'N','sharing_type':'CUSTOM','data_party':'1p',"
             "'rule':{'customer_list_id':'1'},'x':[1.50,null,'\\u0041']}",
             UNCHANGED },
    };

    (void) state;

    BODIES(tests);
}


static void
test_verdict(void **state)
{
    char            *body;
    audience_case_t  run;

    (void) state;

    body = audience_quotes("{'name':'N','sharing_type':'X','data_party':'Y',"
                           "'rule':{'engager_type':3,'x':1,'y':2}}");
    audience_run(&run, 0, body, strlen(body));

    assert_false(run.verdict.valid);
    assert_int_equal(run.verdict.type, PINAUD_TYPE_ENGAGEMENT);
    assert_int_equal(run.verdict.nerrors, 5);
    assert_int_equal(run.verdict.omitted, 0);
    assert_int_equal(run.verdict.counts[PINAUD_ERROR_ENUM], 2);
    assert_int_equal(run.verdict.counts[PINAUD_ERROR_RANGE], 1);
    assert_int_equal(run.verdict.counts[PINAUD_ERROR_UNKNOWN], 2);
    assert_int_equal(run.verdict.counts[PINAUD_ERROR_TYPE], 0);
    assert_string_equal(run.verdict.errors[2].detail, "must be 1 or 2");
    assert_string_equal(run.forwarded, body);

    audience_free(&run);
    free(body);

    assert_string_equal(pinaud_error_name(PINAUD_ERROR_AUDIENCE_TYPE),
                        "audience_type");
    assert_string_equal(pinaud_audience_type_name(PINAUD_TYPE_VISITOR),
                        "VISITOR");
    assert_string_equal(pinaud_audience_type_name(PINAUD_TYPE_NONE), "");
    assert_string_equal(pinaud_operation_name(PINAUD_CREATE),
                        "audiences/create");
}


/* The contract's own tables: every member is found, by its name only. */

static void
find_all(const pinaud_object_t *object)
{
    unsigned                i;
    unsigned char           name[PINAUD_MEMBER_NAME + 1];
    const pinaud_member_t  *member;

    assert_true(object->count > 0 && object->count <= 32);

    for (i = 0; i < object->count; i++) {
        member = &object->members[i];

        assert_int_equal(member->len, strlen(member->name));
        assert_true(member->len <= PINAUD_MEMBER_NAME);
        assert_non_null(member->label);

        memcpy(name, member->name, member->len);
        assert_ptr_equal(pinaud_contract_member(object, name, member->len),
                         member);

        if (member->len > 1) {
            assert_null(pinaud_contract_member(object, name, member->len - 1));
        }

        name[0] ^= 0x20;
        assert_null(pinaud_contract_member(object, name, member->len));

        if (member->needs != NULL) {
            assert_non_null(pinaud_contract_member(object,
                            (const unsigned char *) member->needs,
                            strlen(member->needs)));
        }

        if (member->object != NULL) {
            find_all(member->object);
        }
    }

    assert_null(pinaud_contract_member(object, name, 0));
    assert_null(pinaud_contract_member(object, name, 1000));
}


static void
test_tables(void **state)
{
    (void) state;

    find_all(pinaud_contract_body(PINAUD_CREATE));
    find_all(pinaud_contract_body(PINAUD_CREATE_CUSTOM));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_conformance),
        cmocka_unit_test(test_top_level),
        cmocka_unit_test(test_unknown_and_duplicate),
        cmocka_unit_test(test_rule_types),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_event_data),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
