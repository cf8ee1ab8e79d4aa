
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Values that are neither objects nor arrays.
 */


#include <string.h>
#include "pinaud_check.h"


static pinaud_error_code_e pinaud_value_name(const pinaud_check_t *check,
    const pinaud_json_t *json, pinaud_value_t *value);
static pinaud_error_code_e pinaud_value_country(pinaud_check_t *check,
    const pinaud_json_t *json, pinaud_value_t *value);
static pinaud_error_code_e pinaud_value_word(pinaud_check_t *check,
    const pinaud_json_t *json, const pinaud_member_t *member,
    pinaud_value_t *value);
static pinaud_error_code_e pinaud_value_boolean(const pinaud_check_t *check,
    const pinaud_json_t *json, pinaud_json_token_e token,
    pinaud_value_t *value);
static int pinaud_value_space(uint32_t c);


static const char  *pinaud_value_types[PINAUD_FORMS] = {
    [PINAUD_FORM_STRING] = "must be a string",
    [PINAUD_FORM_TEXT] = "must be a string",
    [PINAUD_FORM_NAME] = "must be a string",
    [PINAUD_FORM_ID] = "must be a string of digits",
    [PINAUD_FORM_ACCOUNT] = "must be a string of digits",
    [PINAUD_FORM_COUNTRY] = "must be a string",
    [PINAUD_FORM_WORD] = "must be a string",
    [PINAUD_FORM_TYPE] = "must be a string",
    [PINAUD_FORM_INTEGER] = "must be an integer",
    [PINAUD_FORM_BOOLEAN] = "must be true or false",
    [PINAUD_FORM_STRING_OR_INTEGER] = "must be a string or an integer",
    [PINAUD_FORM_STRING_OR_NUMBER] = "must be a string or a number",
    [PINAUD_FORM_OBJECT] = "must be an object"
};


pinaud_error_code_e
pinaud_value_read(pinaud_check_t *check, const pinaud_json_t *json,
    pinaud_json_token_e token, const pinaud_member_t *member,
    pinaud_value_t *value)
{
    unsigned  string;

    string = (token == PINAUD_JSON_STRING);

    value->inner = json->token;
    value->start = json->token - string;
    value->end = json->token + json->len + string;
    value->text = value->start;
    value->len = (size_t) (value->end - value->start);
    value->quoted = 0;
    value->edited = 0;
    value->detail = NULL;

    switch (member->form) {

    case PINAUD_FORM_ID:
    case PINAUD_FORM_ACCOUNT:
        return pinaud_value_id(check, json, token, member, value);

    case PINAUD_FORM_INTEGER:
        return pinaud_value_integer(check, json, token, member, value);

    case PINAUD_FORM_BOOLEAN:
        return pinaud_value_boolean(check, json, token, value);

    case PINAUD_FORM_STRING_OR_INTEGER:
        string |= (token == PINAUD_JSON_INTEGER);
        break;

    case PINAUD_FORM_STRING_OR_NUMBER:
        string |= (token == PINAUD_JSON_INTEGER || token == PINAUD_JSON_REAL);
        break;

    case PINAUD_FORM_OBJECT:
        string = 0;
        break;

    default:
        break;
    }

    if (!string) {
        return PINAUD_ERROR_TYPE;
    }

    switch (member->form) {

    case PINAUD_FORM_TEXT:
        return json->len ? PINAUD_OK : PINAUD_ERROR_EMPTY;

    case PINAUD_FORM_NAME:
        return pinaud_value_name(check, json, value);

    case PINAUD_FORM_COUNTRY:
        return pinaud_value_country(check, json, value);

    case PINAUD_FORM_WORD:
    case PINAUD_FORM_TYPE:
        return pinaud_value_word(check, json, member, value);

    default:
        return PINAUD_OK;
    }
}


const char *
pinaud_value_detail(const pinaud_member_t *member, pinaud_error_code_e code,
    const pinaud_value_t *value)
{
    if (value != NULL && value->detail != NULL) {
        return value->detail;
    }

    switch (code) {

    case PINAUD_ERROR_TYPE:
        return pinaud_value_types[member->form];

    case PINAUD_ERROR_EMPTY:
        return "must not be empty";

    default:
        return member->must;
    }
}


static pinaud_error_code_e
pinaud_value_name(const pinaud_check_t *check, const pinaud_json_t *json,
    pinaud_value_t *value)
{
    const unsigned char  *p, *start, *last, *after;

    if (json->len == 0) {
        return PINAUD_ERROR_EMPTY;
    }

    start = json->token;
    last = start + json->len;

    for (p = start; pinaud_value_space(pinaud_json_char(&p)); start = p) {

        if (p == last) {
            value->detail = "must not be only white space";
            return PINAUD_ERROR_EMPTY;
        }
    }

    if (!check->contract->lenient) {
        return PINAUD_OK;
    }

    after = p;

    while (p < last) {
        if (!pinaud_value_space(pinaud_json_char(&p))) {
            after = p;
        }
    }

    if (start > json->token || after < last) {
        value->text = start;
        value->len = (size_t) (after - start);
        value->quoted = 1;
        value->edited = 1;
    }

    return PINAUD_OK;
}


static pinaud_error_code_e
pinaud_value_country(pinaud_check_t *check, const pinaud_json_t *json,
    pinaud_value_t *value)
{
    size_t                i, len;
    unsigned char         buffer[2], *upper;
    const unsigned char  *text;

    if (json->len == 0) {
        return PINAUD_ERROR_EMPTY;
    }

    len = pinaud_value_short(json, &text, buffer, sizeof(buffer));

    if (len != sizeof(buffer)) {
        return PINAUD_ERROR_PATTERN;
    }

    for (i = 0; i < len; i++) {

        if (text[i] >= 'A' && text[i] <= 'Z') {
            continue;
        }

        if (!check->contract->lenient || text[i] < 'a' || text[i] > 'z') {
            return PINAUD_ERROR_PATTERN;
        }

        value->quoted = 1;
        value->edited = 1;
    }

    if (value->edited) {
        upper = pinaud_check_take(check, len);

        if (upper != NULL) {
            upper[0] = text[0] & 0xDF;
            upper[1] = text[1] & 0xDF;
            value->text = upper;
            value->len = len;
        }
    }

    return PINAUD_OK;
}


static pinaud_error_code_e
pinaud_value_word(pinaud_check_t *check, const pinaud_json_t *json,
    const pinaud_member_t *member, pinaud_value_t *value)
{
    size_t                len;
    unsigned char         buffer[PINAUD_WORD];
    const unsigned char  *text;
    const pinaud_word_t  *word;

    if (json->len == 0) {
        return PINAUD_ERROR_EMPTY;
    }

    len = pinaud_value_short(json, &text, buffer, sizeof(buffer));

    if (len > sizeof(buffer)) {
        return PINAUD_ERROR_ENUM;
    }

    value->word = pinaud_contract_word(member->words, text, len,
                                       check->contract->lenient);

    if (value->word < 0) {
        return PINAUD_ERROR_ENUM;
    }

    word = &member->words[value->word];

    if (memcmp(word->text, text, len) != 0) {
        value->text = (const unsigned char *) word->text;
        value->len = len;
        value->quoted = 1;
        value->edited = 1;
    }

    if (member->form == PINAUD_FORM_TYPE) {
        check->declared = (pinaud_audience_type_e) (value->word + 1);
    }

    return PINAUD_OK;
}


static pinaud_error_code_e
pinaud_value_boolean(const pinaud_check_t *check, const pinaud_json_t *json,
    pinaud_json_token_e token, pinaud_value_t *value)
{
    size_t                len;
    unsigned char         buffer[sizeof("false") - 1];
    const unsigned char  *text;

    if (token == PINAUD_JSON_TRUE || token == PINAUD_JSON_FALSE) {
        return PINAUD_OK;
    }

    if (token != PINAUD_JSON_STRING || !check->contract->lenient) {
        return PINAUD_ERROR_TYPE;
    }

    len = pinaud_value_short(json, &text, buffer, sizeof(buffer));

    if (len == 4 && memcmp(text, "true", 4) == 0) {
        value->text = (const unsigned char *) "true";

    } else if (len == 5 && memcmp(text, "false", 5) == 0) {
        value->text = (const unsigned char *) "false";

    } else {
        return PINAUD_ERROR_TYPE;
    }

    value->len = len;
    value->edited = 1;

    return PINAUD_OK;
}


size_t
pinaud_value_short(const pinaud_json_t *json, const unsigned char **text,
    unsigned char *to, size_t size)
{
    if (!json->escaped) {
        *text = json->token;
        return json->len;
    }

    *text = to;

    return pinaud_json_decode(json->token, json->len, to, size);
}


/* Unicode's White_Space, where JSON's own and ASCII's are in. */

static int
pinaud_value_space(uint32_t c)
{
    if (c <= 0x20) {
        return c == 0x20 || (c >= 0x09 && c <= 0x0D);
    }

    return c == 0x85 || c == 0xA0 || c == 0x1680
           || (c >= 0x2000 && c <= 0x200A)
           || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F
           || c == 0x3000;
}
