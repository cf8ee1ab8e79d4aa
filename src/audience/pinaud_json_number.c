
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include "pinaud_json_scan.h"


static pinaud_json_token_e pinaud_json_real(pinaud_json_t *json,
    const unsigned char *digits, const unsigned char *p);
static int pinaud_json_overflows(const unsigned char *digits,
    const unsigned char *end, int64_t exponent);


/*
 * 2^1024 - 2^970 has 309 digits: from there on a number rounds to infinity,
 * below it to the greatest double.
 */

#define PINAUD_JSON_MAX_EXPONENT  309

static const char  pinaud_json_too_great[] =
    "17976931348623158079372897140530341507993413271003782693617377898044"
    "49682927647509466490179775872070963302864166928879109465555478519404"
    "02630657488671505820681908902000708383676273854845817711531764475730"
    "27006985557136695962284291481986083493647529271907416844436551070434"
    "2711559699508093042880177904174497792";


pinaud_json_token_e
pinaud_json_number(pinaud_json_t *json)
{
    const unsigned char  *p, *end, *digits;

    p = json->pos;
    end = json->end;

    if (*p == '-') {
        p++;
    }

    digits = p;

    while (p < end && PINAUD_JSON_DIGIT(*p)) {
        p++;
    }

    if (p == digits) {
        return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, json->pos,
                                "a value is expected");
    }

    if (*digits == '0' && p - digits > 1) {
        return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, digits,
                                "has a number with a leading zero");
    }

    json->token = json->pos;
    json->escaped = 0;

    if (p < end && (*p == '.' || *p == 'e' || *p == 'E')) {
        return pinaud_json_real(json, digits, p);
    }

    json->len = (size_t) (p - json->token);
    json->pos = p;
    json->state = json->depth ? PINAUD_JSON_WANT_MORE
                              : PINAUD_JSON_WANT_NOTHING;

    return PINAUD_JSON_INTEGER;
}


/* Goes on behind a number's integer part, at the point or the exponent. */

static pinaud_json_token_e
pinaud_json_real(pinaud_json_t *json, const unsigned char *digits,
    const unsigned char *p)
{
    int                   negative;
    int64_t               exponent, integer;
    const unsigned char  *end, *part, *mantissa;

    end = json->end;
    integer = p - digits;
    exponent = 0;

    if (*p == '.') {
        part = ++p;

        while (p < end && PINAUD_JSON_DIGIT(*p)) {
            p++;
        }

        if (p == part) {
            return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                                    "a digit is expected");
        }
    }

    mantissa = p;

    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        negative = 0;

        if (p < end && (*p == '+' || *p == '-')) {
            negative = (*p == '-');
            p++;
        }

        part = p;

        /* what is left out at the end decides nothing any more */

        while (p < end && PINAUD_JSON_DIGIT(*p)) {
            if (exponent < (int64_t) 1 << 48) {
                exponent = exponent * 10 + (*p - '0');
            }

            p++;
        }

        if (p == part) {
            return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, p,
                                    "a digit is expected");
        }

        if (negative) {
            exponent = -exponent;
        }
    }

    if (pinaud_json_overflows(digits, mantissa, integer + exponent)) {
        return pinaud_json_fail(json, PINAUD_JSON_SYNTAX, json->pos,
                                "has a number that a double cannot hold");
    }

    json->len = (size_t) (p - json->token);
    json->pos = p;
    json->state = json->depth ? PINAUD_JSON_WANT_MORE
                              : PINAUD_JSON_WANT_NOTHING;

    return PINAUD_JSON_REAL;
}


/*
 * The number is 0.DIGITS * 10^exponent, with a point somewhere among the
 * digits that is to be passed over.
 */

static int
pinaud_json_overflows(const unsigned char *digits, const unsigned char *end,
    int64_t exponent)
{
    const char  *limit;

    while (digits < end && (*digits == '0' || *digits == '.')) {
        exponent -= (*digits == '0');
        digits++;
    }

    if (digits == end || exponent < PINAUD_JSON_MAX_EXPONENT) {
        return 0;
    }

    if (exponent > PINAUD_JSON_MAX_EXPONENT) {
        return 1;
    }

    for (limit = pinaud_json_too_great; *limit != '\0'; digits++) {

        if (digits == end) {
            return 0;
        }

        if (*digits == '.') {
            continue;
        }

        if (*digits != (unsigned char) *limit) {
            return *digits > (unsigned char) *limit;
        }

        limit++;
    }

    return 1;
}
