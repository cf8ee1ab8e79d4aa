
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Values that are digits: ids and integers.
 */


#include <string.h>
#include "pinaud_check.h"


static int pinaud_value_account(pinaud_check_t *check,
    const pinaud_json_t *json, pinaud_value_t *value);
static int pinaud_value_unescape(pinaud_check_t *check,
    const pinaud_json_t *json, pinaud_value_t *value);
static int pinaud_value_canonical(const unsigned char *text, size_t len);
static int pinaud_value_in_range(const unsigned char *text, size_t len,
    int min, int max);


pinaud_error_code_e
pinaud_value_id(pinaud_check_t *check, const pinaud_json_t *json,
    pinaud_json_token_e token, const pinaud_member_t *member,
    pinaud_value_t *value)
{
    uint32_t              c;
    const unsigned char  *p, *last;

    p = json->token;
    last = p + json->len;

    if (token == PINAUD_JSON_INTEGER && check->contract->lenient && *p != '-') {
        value->quoted = 1;
        value->edited = 1;

    } else if (token != PINAUD_JSON_STRING) {
        return PINAUD_ERROR_TYPE;

    } else {

        if (p == last) {
            return PINAUD_ERROR_EMPTY;
        }

        while (p < last) {

            if (*p >= '0' && *p <= '9') {
                p++;
                continue;
            }

            if (*p != '\\') {
                return PINAUD_ERROR_PATTERN;
            }

            c = pinaud_json_char(&p);

            if (c < '0' || c > '9') {
                return PINAUD_ERROR_PATTERN;
            }
        }
    }

    if (member->form == PINAUD_FORM_ACCOUNT
        && !pinaud_value_account(check, json, value))
    {
        return PINAUD_ERROR_CONFLICT;
    }

    return PINAUD_OK;
}


/*
 * Without a path, the first id in the body stands for it. No path has an id
 * of more than 18 digits.
 */

static int
pinaud_value_account(pinaud_check_t *check, const pinaud_json_t *json,
    pinaud_value_t *value)
{
    size_t                len;
    unsigned char         buffer[PINAUD_ACCOUNT_ID];
    const unsigned char  *text;

    len = pinaud_value_short(json, &text, buffer, sizeof(buffer));
    value->detail = "must be the ad account of the request's path";

    if (len > sizeof(buffer)) {
        return 0;
    }

    if (check->account == NULL) {
        memcpy(check->first_account, text, len);
        check->account = check->first_account;
        check->account_len = len;
        return 1;
    }

    if (check->account == check->first_account) {
        value->detail = "must be the same ad account everywhere";
    }

    return len == check->account_len
           && memcmp(text, check->account, len) == 0;
}


pinaud_error_code_e
pinaud_value_integer(pinaud_check_t *check, const pinaud_json_t *json,
    pinaud_json_token_e token, const pinaud_member_t *member,
    pinaud_value_t *value)
{
    if (token == PINAUD_JSON_STRING
        && (member->decimal || check->contract->lenient))
    {
        if (json->len == 0) {
            return PINAUD_ERROR_EMPTY;
        }

        value->text = json->token;
        value->len = json->len;
        value->edited = 1;

        if (json->escaped && !pinaud_value_unescape(check, json, value)) {
            return PINAUD_OK;
        }

        if (!pinaud_value_canonical(value->text, value->len)) {
            value->detail = "must be an integer, or one in canonical decimal "
                            "form as a string";
            return PINAUD_ERROR_PATTERN;
        }

    } else if (token != PINAUD_JSON_INTEGER) {
        return PINAUD_ERROR_TYPE;
    }

    if (member->max != 0
        && !pinaud_value_in_range(value->text, value->len, member->min,
                                  member->max))
    {
        return PINAUD_ERROR_RANGE;
    }

    return PINAUD_OK;
}


/* The value's text, decoded to scratch memory; 0 where that is exhausted. */

static int
pinaud_value_unescape(pinaud_check_t *check, const pinaud_json_t *json,
    pinaud_value_t *value)
{
    unsigned char  *text;

    text = pinaud_check_take(check, json->len);

    if (text == NULL) {
        return 0;
    }

    value->text = text;
    value->len = pinaud_json_decode(json->token, json->len, text, json->len);

    /* the rest is free again */

    check->free = text + value->len;

    return 1;
}


/* An integer as JSON writes it, but for "-0". */

static int
pinaud_value_canonical(const unsigned char *text, size_t len)
{
    size_t  i;

    if (len > 1 && *text == '-') {
        text++;
        len--;

        if (*text == '0') {
            return 0;
        }
    }

    if (len > 1 && *text == '0') {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return 0;
        }
    }

    return 1;
}


/* Ranges begin above zero, and four digits are more than any has. */

static int
pinaud_value_in_range(const unsigned char *text, size_t len, int min, int max)
{
    int     n;
    size_t  i;

    if (*text == '-' || len > 4) {
        return 0;
    }

    n = 0;

    for (i = 0; i < len; i++) {
        n = n * 10 + (text[i] - '0');
    }

    return n >= min && n <= max;
}
