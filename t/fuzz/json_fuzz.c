
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The reader and jansson accept and refuse the same texts, and read the same
 * values. What differs is intended:
 *
 * - nesting: 32 levels here, 2048 there;
 * - an integer over 64 bits is an integer of any length here, and refused
 *   there;
 * - a zero byte right behind a number or a literal is refused here, and
 *   passed over there.
 *
 * Duplicate names are the reader's user's business: here as in the audience
 * they are found by pinaud_names.
 */


#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pinaud_json.h"
#include "pinaud_names.h"


typedef struct {
    unsigned  refused;
    unsigned  deep;
    unsigned  zero;
    unsigned  long_integer;
} fuzz_result_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static char *
fuzz_copy(const unsigned char *text, size_t len)
{
    char  *copy;

    copy = malloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';

    return copy;
}


static int
fuzz_is_long(const pinaud_json_t *json)
{
    int   is_long;
    char  digits[32], *copy;

    copy = fuzz_copy(json->token, json->len);
    snprintf(digits, sizeof(digits), "%lld", strtoll(copy, NULL, 10));
    is_long = strcmp(copy, digits) != 0 && strcmp(copy, "-0") != 0;
    free(copy);

    return is_long;
}


static void
fuzz_read(const uint8_t *data, size_t size, fuzz_result_t *result)
{
    void                  *memory;
    size_t                 objects[PINAUD_JSON_MAX_DEPTH + 1];
    pinaud_json_t          json;
    pinaud_names_t         names;
    pinaud_json_token_e    token;

    static const uint64_t  key[2] = { 0x0123456789ABCDEF, 0xFEDCBA9876543210 };

    memset(result, 0, sizeof(*result));

    memory = malloc(pinaud_names_memory(size / 5));
    pinaud_names_init(&names, PINAUD_TEXT_STRING, data, key, memory, size / 5);

    pinaud_json_init(&json, data, size);

    do {
        token = pinaud_json_next(&json);

        switch (token) {

        case PINAUD_JSON_ERROR:
            result->refused = 1;
            result->deep = (json.failure == PINAUD_JSON_DEPTH);
            result->zero = (json.failure == PINAUD_JSON_SYNTAX
                            && json.offset > 0 && json.offset < size
                            && data[json.offset] == '\0'
                            && isalnum(data[json.offset - 1]));

            if (json.offset > size || json.detail == NULL) {
                abort();
            }

            break;

        case PINAUD_JSON_OBJECT:
            objects[json.depth] = (size_t) (json.token - data);
            break;

        case PINAUD_JSON_NAME:
            result->refused |= (unsigned)
                               pinaud_names_add(&names, objects[json.depth],
                                               (size_t) (json.token - data));
            break;

        case PINAUD_JSON_INTEGER:
            result->long_integer |= (unsigned) fuzz_is_long(&json);
            break;

        default:
            break;
        }

    } while (token != PINAUD_JSON_END && token != PINAUD_JSON_ERROR);

    free(memory);
}


static void
fuzz_same_string(const pinaud_json_t *json, const char *text, size_t len)
{
    size_t          n;
    unsigned char  *decoded;

    decoded = malloc(json->len);
    n = pinaud_json_decode(json->token, json->len, decoded, json->len);

    if (n != len || (n && memcmp(decoded, text, len) != 0)) {
        abort();
    }

    if (!json->escaped && n != json->len)
    {
        abort();
    }

    free(decoded);
}


static void
fuzz_same_number(const pinaud_json_t *json, pinaud_json_token_e token,
    const json_t *value)
{
    char    *copy;
    double   real, want;

    copy = fuzz_copy(json->token, json->len);

    if (token == PINAUD_JSON_INTEGER) {

        if (!json_is_integer(value)
            || json_integer_value(value) != strtoll(copy, NULL, 10))
        {
            abort();
        }

    } else {
        real = strtod(copy, NULL);
        want = json_real_value(value);

        if (!json_is_real(value) || memcmp(&real, &want, sizeof(real)) != 0) {
            abort();
        }
    }

    free(copy);
}


static void
fuzz_same(pinaud_json_t *json, json_t *value)
{
    void                 *iter;
    size_t                i;
    pinaud_json_token_e   token;

    token = pinaud_json_next(json);

    switch (token) {

    case PINAUD_JSON_OBJECT:
        if (!json_is_object(value)) {
            abort();
        }

        iter = json_object_iter(value);

        while (pinaud_json_next(json) == PINAUD_JSON_NAME) {
            fuzz_same_string(json, json_object_iter_key(iter),
                             strlen(json_object_iter_key(iter)));
            fuzz_same(json, json_object_iter_value(iter));
            iter = json_object_iter_next(value, iter);
        }

        if (iter != NULL) {
            abort();
        }

        return;

    case PINAUD_JSON_ARRAY:
        if (!json_is_array(value)) {
            abort();
        }

        for (i = 0; i < json_array_size(value); i++) {
            fuzz_same(json, json_array_get(value, i));
        }

        if (pinaud_json_next(json) != PINAUD_JSON_ARRAY_END) {
            abort();
        }

        return;

    case PINAUD_JSON_STRING:
        if (!json_is_string(value)) {
            abort();
        }

        fuzz_same_string(json, json_string_value(value),
                         json_string_length(value));
        return;

    case PINAUD_JSON_INTEGER:
    case PINAUD_JSON_REAL:
        fuzz_same_number(json, token, value);
        return;

    default:
        if ((token == PINAUD_JSON_TRUE) != json_is_true(value)
            || (token == PINAUD_JSON_FALSE) != json_is_false(value)
            || (token == PINAUD_JSON_NULL) != json_is_null(value))
        {
            abort();
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t         *value;
    json_error_t    error;
    pinaud_json_t   json;
    fuzz_result_t   result;

    fuzz_read(data, size, &result);

    if (result.deep || result.zero) {
        return 0;
    }

    value = json_loadb((const char *) data, size,
                       JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

    if (value == NULL) {

        if (!result.refused
            && !(result.long_integer
                 && json_error_code(&error) == json_error_numeric_overflow))
        {
            fprintf(stderr, "jansson refuses: %s\n", error.text);
            abort();
        }

        return 0;
    }

    if (result.refused) {
        fprintf(stderr, "jansson accepts\n");
        abort();
    }

    pinaud_json_init(&json, data, size);
    fuzz_same(&json, value);
    json_decref(value);

    return 0;
}
