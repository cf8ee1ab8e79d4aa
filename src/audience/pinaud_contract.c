
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include <strings.h>
#include "pinaud_contract.h"


/* The members of an object stand in the order of their names' length. */

#define PINAUD_MEMBER(path, text)                                             \
    .name = text, .len = sizeof(text) - 1, .label = path text

#define PINAUD_TOP(name)    PINAUD_MEMBER("", name)
#define PINAUD_RULE(name)   PINAUD_MEMBER("rule.", name)
#define PINAUD_EVENT(name)  PINAUD_MEMBER("rule.event_data.", name)
#define PINAUD_ITEM(name)   PINAUD_MEMBER("rule.event_data.line_items.", name)

/* Operators are reported by the member that they are in. */

#define PINAUD_OPERATOR(path, text)                                           \
    .name = text, .len = sizeof(text) - 1, .label = path

#define PINAUD_OBJECT(list)                                                   \
    .members = list, .count = sizeof(list) / sizeof(list[0])

#define PINAUD_WORD_OF(text)  { text, sizeof(text) - 1 }

#define PINAUD_DIGITS  .must = "must be ASCII digits"
#define PINAUD_TIMED   (PINAUD_VISITOR_BIT | PINAUD_ENGAGEMENT_BIT)


static const pinaud_word_t  pinaud_sharing_types[] = {
    PINAUD_WORD_OF("CUSTOM"),
    PINAUD_WORD_OF("SYNDICATED"),
    { NULL, 0 }
};


static const pinaud_word_t  pinaud_data_parties[] = {
    PINAUD_WORD_OF("1p"),
    PINAUD_WORD_OF("3p"),
    { NULL, 0 }
};


/* As pinaud_audience_type_e, less one. */

static const pinaud_word_t  pinaud_audience_types[] = {
    PINAUD_WORD_OF("CUSTOMER_LIST"),
    PINAUD_WORD_OF("ACTALIKE"),
    PINAUD_WORD_OF("VISITOR"),
    PINAUD_WORD_OF("ENGAGEMENT"),
    { NULL, 0 }
};


static const pinaud_word_t  pinaud_event_sources[] = {
    PINAUD_WORD_OF("web"),
    PINAUD_WORD_OF("mobile"),
    PINAUD_WORD_OF("offline"),
    { NULL, 0 }
};


static const pinaud_word_t  pinaud_ingestion_sources[] = {
    PINAUD_WORD_OF("tag"),
    PINAUD_WORD_OF("mmp"),
    PINAUD_WORD_OF("file_upload"),
    PINAUD_WORD_OF("conversions_api"),
    { NULL, 0 }
};


static const pinaud_word_t  pinaud_engagement_types[] = {
    PINAUD_WORD_OF("click"),
    PINAUD_WORD_OF("save"),
    PINAUD_WORD_OF("closeup"),
    PINAUD_WORD_OF("comment"),
    PINAUD_WORD_OF("like"),
    { NULL, 0 }
};


static const pinaud_word_t  pinaud_objective_types[] = {
    PINAUD_WORD_OF("AWARENESS"),
    PINAUD_WORD_OF("CONSIDERATION"),
    PINAUD_WORD_OF("WEB_CONVERSION"),
    PINAUD_WORD_OF("CATALOG_SALES"),
    PINAUD_WORD_OF("VIDEO_COMPLETION"),
    { NULL, 0 }
};


static const pinaud_word_t  pinaud_currencies[] = {
    PINAUD_WORD_OF("UNK"), PINAUD_WORD_OF("USD"), PINAUD_WORD_OF("GBP"),
    PINAUD_WORD_OF("CAD"), PINAUD_WORD_OF("EUR"), PINAUD_WORD_OF("AUD"),
    PINAUD_WORD_OF("NZD"), PINAUD_WORD_OF("SEK"), PINAUD_WORD_OF("ILS"),
    PINAUD_WORD_OF("CHF"), PINAUD_WORD_OF("HKD"), PINAUD_WORD_OF("JPY"),
    PINAUD_WORD_OF("SGD"), PINAUD_WORD_OF("KRW"), PINAUD_WORD_OF("NOK"),
    PINAUD_WORD_OF("DKK"), PINAUD_WORD_OF("PLN"), PINAUD_WORD_OF("RON"),
    PINAUD_WORD_OF("HUF"), PINAUD_WORD_OF("CZK"), PINAUD_WORD_OF("BRL"),
    PINAUD_WORD_OF("MXN"), PINAUD_WORD_OF("ARS"), PINAUD_WORD_OF("CLP"),
    PINAUD_WORD_OF("COP"), PINAUD_WORD_OF("INR"), PINAUD_WORD_OF("TRY"),
    { NULL, 0 }
};


static const pinaud_member_t  pinaud_url_members[] = {

    { PINAUD_OPERATOR("rule.url", "="),
      .form = PINAUD_FORM_TEXT },

    { PINAUD_OPERATOR("rule.url", "!="),
      .form = PINAUD_FORM_TEXT },

    { PINAUD_OPERATOR("rule.url", "contains"),
      .form = PINAUD_FORM_TEXT },

    { PINAUD_OPERATOR("rule.url", "not_contains"),
      .form = PINAUD_FORM_TEXT }
};


static const pinaud_object_t  pinaud_url = {
    PINAUD_OBJECT(pinaud_url_members),
    .start = { 0, 0, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4 },
    .choice = 1,
    .must = "must hold exactly one of =, !=, contains and not_contains"
};


static const pinaud_member_t  pinaud_event_source_members[] = {

    { PINAUD_OPERATOR("rule.event_source", "="),
      .form = PINAUD_FORM_WORD,
      .shape = PINAUD_SHAPE_ARRAY,
      .must = "must be web, mobile or offline",
      .words = pinaud_event_sources,
      .required = 1 }
};


static const pinaud_object_t  pinaud_event_source = {
    PINAUD_OBJECT(pinaud_event_source_members),
    .start = { 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 },
    .required = 1
};


static const pinaud_member_t  pinaud_ingestion_source_members[] = {

    { PINAUD_OPERATOR("rule.ingestion_source", "="),
      .form = PINAUD_FORM_WORD,
      .shape = PINAUD_SHAPE_ARRAY,
      .must = "must be tag, mmp, file_upload or conversions_api",
      .words = pinaud_ingestion_sources,
      .required = 1 }
};


static const pinaud_object_t  pinaud_ingestion_source = {
    PINAUD_OBJECT(pinaud_ingestion_source_members),
    .start = { 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 },
    .required = 1
};


static const pinaud_member_t  pinaud_line_item_members[] = {

    { PINAUD_ITEM("product_id"),
      .form = PINAUD_FORM_STRING_OR_INTEGER },

    { PINAUD_ITEM("product_name"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_ITEM("product_brand"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_ITEM("product_price"),
      .form = PINAUD_FORM_STRING_OR_NUMBER },

    { PINAUD_ITEM("product_variant"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_ITEM("product_category"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_ITEM("product_quantity"),
      .form = PINAUD_FORM_STRING_OR_INTEGER },

    { PINAUD_ITEM("product_variant_id"),
      .form = PINAUD_FORM_STRING }
};


static const pinaud_object_t  pinaud_line_item = {
    PINAUD_OBJECT(pinaud_line_item_members),
    .start = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 4, 4, 5, 7, 7, 8 },
    .own = 1,
    .nulls = 1
};


static const pinaud_member_t  pinaud_event_data_members[] = {

    { PINAUD_EVENT("value"),
      .form = PINAUD_FORM_STRING_OR_NUMBER },

    { PINAUD_EVENT("currency"),
      .form = PINAUD_FORM_WORD,
      .must = "must be a currency code that Pinterest knows",
      .words = pinaud_currencies },

    { PINAUD_EVENT("order_id"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_EVENT("property"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_EVENT("lead_type"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_EVENT("page_name"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_EVENT("line_items"),
      .form = PINAUD_FORM_OBJECT,
      .shape = PINAUD_SHAPE_EITHER,
      .object = &pinaud_line_item },

    { PINAUD_EVENT("promo_code"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_EVENT("video_title"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_EVENT("search_query"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_EVENT("order_quantity"),
      .form = PINAUD_FORM_INTEGER,
      .must = "must be an integer without leading zeros" }
};


static const pinaud_object_t  pinaud_event_data = {
    PINAUD_OBJECT(pinaud_event_data_members),
    .start = { 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 6, 8, 9, 10, 10, 11, 11, 11,
                11, 11 },
    .own = 1,
    .nulls = 1
};


static const pinaud_member_t  pinaud_rule_members[] = {

    { PINAUD_RULE("url"),
      .form = PINAUD_FORM_TEXT,
      .shape = PINAUD_SHAPE_EITHER,
      .object = &pinaud_url,
      .with = PINAUD_TIMED },

    { PINAUD_RULE("ad_id"),
      .form = PINAUD_FORM_ID,
      .shape = PINAUD_SHAPE_ARRAY,
      PINAUD_DIGITS,
      .tells = PINAUD_ENGAGEMENT_BIT },

    { PINAUD_RULE("event"),
      .form = PINAUD_FORM_TEXT,
      .tells = PINAUD_VISITOR_BIT },

    { PINAUD_RULE("pin_id"),
      .form = PINAUD_FORM_ID,
      .shape = PINAUD_SHAPE_ARRAY,
      PINAUD_DIGITS,
      .tells = PINAUD_ENGAGEMENT_BIT },

    { PINAUD_RULE("country"),
      .form = PINAUD_FORM_COUNTRY,
      .must = "must be two upper-case letters",
      .tells = PINAUD_ACTALIKE_BIT },

    { PINAUD_RULE("prefill"),
      .form = PINAUD_FORM_BOOLEAN,
      .tells = PINAUD_VISITOR_BIT },

    { PINAUD_RULE("seed_id"),
      .form = PINAUD_FORM_ID,
      .shape = PINAUD_SHAPE_ARRAY,
      PINAUD_DIGITS,
      .needed = 1,
      .tells = PINAUD_ACTALIKE_BIT },

    { PINAUD_RULE("event_data"),
      .form = PINAUD_FORM_OBJECT,
      .object = &pinaud_event_data,
      .tells = PINAUD_VISITOR_BIT,
      .needs = "event",
      .because = "is required with event_data" },

    { PINAUD_RULE("percentage"),
      .form = PINAUD_FORM_INTEGER,
      .must = "must be 1 to 10",
      .min = 1,
      .max = 10,
      .decimal = 1,
      .tells = PINAUD_ACTALIKE_BIT },

    { PINAUD_RULE("campaign_id"),
      .form = PINAUD_FORM_ID,
      .shape = PINAUD_SHAPE_ARRAY,
      PINAUD_DIGITS,
      .tells = PINAUD_ENGAGEMENT_BIT },

    { PINAUD_RULE("engager_type"),
      .form = PINAUD_FORM_INTEGER,
      .must = "must be 1 or 2",
      .min = 1,
      .max = 2,
      .tells = PINAUD_ENGAGEMENT_BIT },

    { PINAUD_RULE("event_source"),
      .form = PINAUD_FORM_OBJECT,
      .object = &pinaud_event_source,
      .tells = PINAUD_VISITOR_BIT },

    { PINAUD_RULE("ad_account_id"),
      .form = PINAUD_FORM_ACCOUNT,
      PINAUD_DIGITS },

    { PINAUD_RULE("objective_type"),
      .form = PINAUD_FORM_WORD,
      .shape = PINAUD_SHAPE_ARRAY,
      .must = "must be AWARENESS, CONSIDERATION, WEB_CONVERSION, "
              "CATALOG_SALES or VIDEO_COMPLETION",
      .words = pinaud_objective_types,
      .tells = PINAUD_ENGAGEMENT_BIT },

    { PINAUD_RULE("retention_days"),
      .form = PINAUD_FORM_INTEGER,
      .must = "must be 1 to 540",
      .min = 1,
      .max = 540,
      .decimal = 1,
      .with = PINAUD_TIMED },

    { PINAUD_RULE("engagement_type"),
      .form = PINAUD_FORM_WORD,
      .must = "must be click, save, closeup, comment or like",
      .words = pinaud_engagement_types,
      .tells = PINAUD_ENGAGEMENT_BIT },

    { PINAUD_RULE("customer_list_id"),
      .form = PINAUD_FORM_ID,
      PINAUD_DIGITS,
      .needed = 1,
      .tells = PINAUD_CUSTOMER_LIST_BIT },

    { PINAUD_RULE("ingestion_source"),
      .form = PINAUD_FORM_OBJECT,
      .object = &pinaud_ingestion_source,
      .tells = PINAUD_VISITOR_BIT },

    { PINAUD_RULE("engagement_domain"),
      .form = PINAUD_FORM_TEXT,
      .shape = PINAUD_SHAPE_ARRAY,
      .tells = PINAUD_ENGAGEMENT_BIT },

    { PINAUD_RULE("visitor_source_id"),
      .form = PINAUD_FORM_ID,
      .shape = PINAUD_SHAPE_UNWRAP,
      PINAUD_DIGITS,
      .needed = 1,
      .tells = PINAUD_VISITOR_BIT }
};


static const pinaud_object_t  pinaud_rule = {
    PINAUD_OBJECT(pinaud_rule_members),
    .start = { 0, 0, 0, 0, 1, 1, 3, 4, 7, 7, 7, 9, 10, 12, 13, 15, 16,
                18, 20, 20 },
    .nulls = 1,
    .rule = 1
};


static const pinaud_member_t  pinaud_create_custom_members[] = {

    { PINAUD_TOP("name"),
      .form = PINAUD_FORM_NAME,
      .required = 1 },

    { PINAUD_TOP("rule"),
      .form = PINAUD_FORM_OBJECT,
      .object = &pinaud_rule,
      .required = 1 },

    { PINAUD_TOP("category"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_TOP("data_party"),
      .form = PINAUD_FORM_WORD,
      .must = "must be 1p or 3p",
      .words = pinaud_data_parties,
      .required = 1 },

    { PINAUD_TOP("sharing_type"),
      .form = PINAUD_FORM_WORD,
      .must = "must be CUSTOM or SYNDICATED",
      .words = pinaud_sharing_types,
      .required = 1 },

    { PINAUD_TOP("ad_account_id"),
      .form = PINAUD_FORM_ACCOUNT,
      PINAUD_DIGITS }
};


static const pinaud_object_t  pinaud_create_custom = {
    PINAUD_OBJECT(pinaud_create_custom_members),
    .start = { 0, 0, 0, 0, 0, 2, 2, 2, 2, 3, 3, 4, 4, 5, 6, 6, 6, 6, 6, 6 },
    .required = 1,
    .nulls = 1
};


static const pinaud_member_t  pinaud_create_members[] = {

    { PINAUD_TOP("name"),
      .form = PINAUD_FORM_NAME,
      .required = 1 },

    { PINAUD_TOP("rule"),
      .form = PINAUD_FORM_OBJECT,
      .object = &pinaud_rule,
      .required = 1 },

    { PINAUD_TOP("description"),
      .form = PINAUD_FORM_STRING },

    { PINAUD_TOP("ad_account_id"),
      .form = PINAUD_FORM_ACCOUNT,
      PINAUD_DIGITS },

    { PINAUD_TOP("audience_type"),
      .form = PINAUD_FORM_TYPE,
      .must = "must be CUSTOMER_LIST, VISITOR, ENGAGEMENT or ACTALIKE",
      .words = pinaud_audience_types,
      .required = 1 }
};


static const pinaud_object_t  pinaud_create = {
    PINAUD_OBJECT(pinaud_create_members),
    .start = { 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 3, 3, 5, 5, 5, 5, 5, 5 },
    .required = 1,
    .nulls = 1
};


const pinaud_object_t *
pinaud_contract_body(pinaud_operation_e operation)
{
    return (operation == PINAUD_CREATE) ? &pinaud_create
                                        : &pinaud_create_custom;
}


const pinaud_member_t *
pinaud_contract_member(const pinaud_object_t *object,
    const unsigned char *name, size_t len)
{
    const pinaud_member_t  *member, *last;

    if (len > PINAUD_MEMBER_NAME) {
        return NULL;
    }

    member = object->members + object->start[len];
    last = object->members + object->start[len + 1];

    while (member < last) {

        if (memcmp(member->name, name, len) == 0) {
            return member;
        }

        member++;
    }

    return NULL;
}


int
pinaud_contract_word(const pinaud_word_t *words, const unsigned char *text,
    size_t len, unsigned any_case)
{
    int          i;
    const char  *word;

    for (i = 0; words[i].text != NULL; i++) {

        if (words[i].len != len) {
            continue;
        }

        word = words[i].text;

        if (any_case ? strncasecmp(word, (const char *) text, len) == 0
                     : memcmp(word, text, len) == 0)
        {
            return i;
        }
    }

    return -1;
}
