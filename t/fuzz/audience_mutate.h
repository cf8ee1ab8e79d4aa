
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Mutates bodies by their values and members.
 */


#ifndef _AUDIENCE_MUTATE_H_INCLUDED_
#define _AUDIENCE_MUTATE_H_INCLUDED_


#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "pinaud_json.h"


size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
    unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);


#define MUTATE_SPANS  512


typedef struct {
    size_t   start;
    size_t   end;
} mutate_span_t;


typedef struct {
    mutate_span_t   values[MUTATE_SPANS];
    mutate_span_t   members[MUTATE_SPANS];
    size_t          inside[MUTATE_SPANS];   /* behind opening braces */
    size_t          nvalues;
    size_t          nmembers;
    size_t          ninside;
} mutate_map_t;


static const char  *mutate_names[] = {
    "name", "rule", "sharing_type", "data_party", "category", "ad_account_id",
    "audience_type", "description", "url", "ad_id", "event", "pin_id",
    "country", "prefill", "seed_id", "event_data", "percentage",
    "campaign_id", "engager_type", "event_source", "objective_type",
    "retention_days", "engagement_type", "customer_list_id",
    "ingestion_source", "engagement_domain", "visitor_source_id", "=", "!=",
    "contains", "not_contains", "value", "currency", "order_id", "property",
    "lead_type", "page_name", "line_items", "promo_code", "video_title",
    "search_query", "order_quantity", "product_id", "product_name",
    "product_brand", "product_price", "product_variant", "product_category",
    "product_quantity", "product_variant_id", "x", "", "\\u006eame", "a~/b"
};


static const char  *mutate_values[] = {
    "null", "true", "false", "0", "-0", "1", "2", "10", "11", "540", "541",
    "-1", "1.0", "1e1", "116.10", "1e308", "1e309", "1e-400",
    "18446744073709551616", "123456789012345678901234567890",
    "\"\"", "\" \"", "\"1\"", "\"10\"", "\"010\"", "\"-1\"", "\"\\u0031\"",
    "\"1 \"", "\" N \"", "\"\\u00a0N\"", "\"true\"", "\"False\"",
    "\"549755885175\"", "549755885175", "\"CUSTOM\"", "\"custom\"",
    "\"1p\"", "\"3P\"", "\"VISITOR\"", "\"engagement\"", "\"ACTALIKE\"",
    "\"CUSTOMER_LIST\"", "\"PERSONA\"", "\"US\"", "\"us\"", "\"USD\"",
    "\"usd\"", "\"web\"", "\"WEB\"", "\"tag\"", "\"click\"", "\"Click\"",
    "\"AWARENESS\"", "\"awareness\"",
    "[]", "{}", "[{}]", "[[]]", "[null]", "[\"1\"]", "[1]", "[\"1\",\"2\"]",
    "[\"1\",\"1\"]", "[1,\"1\",2,\"\\u0031\"]", "[1,1]",
    "[\"web\",\"web\"]", "[\"AWARENESS\",\"awareness\"]",
    "{\"=\":[\"web\"]}", "{\"=\":[\"tag\",\"TAG\"]}", "{\"=\":\"u\"}",
    "{\"contains\":\"u\"}", "{\"a\":1,\"a\":2}",
    "{\"currency\":\"usd\",\"order_quantity\":\"2\",\"value\":null}",
    "{\"line_items\":[{\"product_id\":null,\"x\":1},{}]}",
    "{\"product_id\":\"1\",\"product_quantity\":1}",
    "{\"seed_id\":[\"1\"]}", "{\"customer_list_id\":\"1\"}",
    "{\"engager_type\":1}", "{\"visitor_source_id\":[\"1\"]}"
};


#define MUTATE_PICK(list, n)  list[(n) % (sizeof(list) / sizeof(list[0]))]


/* The map of a text, as far as it is JSON. */

static void
mutate_read(mutate_map_t *map, const uint8_t *text, size_t len)
{
    size_t                start;
    pinaud_json_t         json;
    size_t                values[PINAUD_JSON_MAX_DEPTH + 1];
    size_t                names[PINAUD_JSON_MAX_DEPTH + 1];
    pinaud_json_token_e   token;

    memset(map, 0, sizeof(*map));
    memset(names, 0, sizeof(names));
    pinaud_json_init(&json, text, len);

    for ( ;; ) {
        token = pinaud_json_next(&json);
        start = (size_t) (json.token - text);

        switch (token) {

        case PINAUD_JSON_ERROR:
        case PINAUD_JSON_END:
            return;

        case PINAUD_JSON_NAME:
            names[json.depth] = start - 1;
            continue;

        case PINAUD_JSON_OBJECT:
            if (map->ninside < MUTATE_SPANS) {
                map->inside[map->ninside++] = start + 1;
            }

            /* fall through */

        case PINAUD_JSON_ARRAY:
            values[json.depth] = start;
            names[json.depth] = 0;
            continue;

        case PINAUD_JSON_OBJECT_END:
        case PINAUD_JSON_ARRAY_END:
            start = values[json.depth + 1];
            break;

        case PINAUD_JSON_STRING:
            start--;
            break;

        default:
            break;
        }

        if (map->nvalues < MUTATE_SPANS) {
            map->values[map->nvalues].start = start;
            map->values[map->nvalues++].end = (size_t) (json.pos - text);
        }

        if (json.depth && names[json.depth] && map->nmembers < MUTATE_SPANS) {
            map->members[map->nmembers].start = names[json.depth];
            map->members[map->nmembers++].end = (size_t) (json.pos - text);
        }
    }
}


/* Puts a text in the place of a span; returns the new length. */

static size_t
mutate_replace(uint8_t *data, size_t size, size_t max, size_t start,
    size_t end, const char *text, size_t len)
{
    if (size - (end - start) + len > max) {
        return size;
    }

    memmove(data + start + len, data + end, size - end);
    memcpy(data + start, text, len);

    return size - (end - start) + len;
}


/* A member more at the start of an object, with its comma if one is due. */

static size_t
mutate_insert(uint8_t *data, size_t size, size_t max, size_t at, int number)
{
    char    text[256];
    size_t  i, len;

    for (i = at; i < size && strchr(" \t\r\n", data[i]) && data[i]; i++) {
        /* void */
    }

    len = (size_t) snprintf(text, sizeof(text), "\"%s\":%s%s",
                            MUTATE_PICK(mutate_names, (unsigned) number),
                            MUTATE_PICK(mutate_values,
                                        (unsigned) number / 64),
                            i < size && data[i] == '}' ? "" : ",");

    return mutate_replace(data, size, max, at, at, text, len);
}


/* Cuts a member with one of the commas beside it. */

static size_t
mutate_cut(uint8_t *data, size_t size, mutate_span_t *span)
{
    size_t  start, end;

    start = span->start;
    end = span->end;

    while (end < size && data[end] != ',' && data[end] != '}') {
        end++;
    }

    if (end < size && data[end] == ',') {
        end++;

    } else {
        end = span->end;

        while (start > 0 && data[start] != ',' && data[start] != '{') {
            start--;
        }

        start += (data[start] == '{');
    }

    return mutate_replace(data, size, size, start, end, "", 0);
}


size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    int                   way, number;
    const char           *text;
    mutate_span_t        *span;
    static mutate_map_t   map;

    srand(seed);
    way = rand() % 8;
    number = rand();

    if (size < 2 || way < 2) {
        return LLVMFuzzerMutate(data, size, max);
    }

    mutate_read(&map, data + 1, size - 1);

    if (way == 2) {
        data[0] = (uint8_t) ('0' + number % 8);

    } else if (way < 5 && map.nvalues) {
        span = &map.values[(unsigned) rand() % map.nvalues];
        text = MUTATE_PICK(mutate_values, (unsigned) number);
        size = 1 + mutate_replace(data + 1, size - 1, max - 1, span->start,
                                  span->end, text, strlen(text));

    } else if (way < 7 && map.ninside) {
        size = 1 + mutate_insert(data + 1, size - 1, max - 1,
                                 map.inside[(unsigned) rand() % map.ninside],
                                 number);

    } else if (map.nmembers) {
        span = &map.members[(unsigned) rand() % map.nmembers];
        size = 1 + mutate_cut(data + 1, size - 1, span);
    }

    return size;
}


#endif /* _AUDIENCE_MUTATE_H_INCLUDED_ */
