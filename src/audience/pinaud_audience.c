
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <string.h>
#include "pinaud_check.h"


static int pinaud_check_init(pinaud_check_t *check,
    const pinaud_audience_contract_t *contract, const unsigned char *body,
    size_t len, void *scratch, size_t scratch_len,
    pinaud_audience_verdict_t *verdict);
static void pinaud_check_body(pinaud_check_t *check);
static void pinaud_check_type(pinaud_check_t *check);
static void pinaud_check_failure(pinaud_check_t *check);
static size_t pinaud_check_length(const pinaud_audience_verdict_t *verdict,
    size_t len);


/* As the least body that memory is had for, and the most: see the names. */

#define PINAUD_AUDIENCE_MIN_BODY  1600
#define PINAUD_AUDIENCE_MAX_BODY  0xFFFFFFFF

#define PINAUD_AUDIENCE_SCRATCH   8


static const char  *pinaud_error_names[PINAUD_ERROR_CODES] = {
    [PINAUD_ERROR_SYNTAX] = "syntax",
    [PINAUD_ERROR_ENCODING] = "encoding",
    [PINAUD_ERROR_DEPTH] = "depth",
    [PINAUD_ERROR_UNKNOWN] = "unknown",
    [PINAUD_ERROR_DUPLICATE] = "duplicate",
    [PINAUD_ERROR_TYPE] = "type",
    [PINAUD_ERROR_EMPTY] = "empty",
    [PINAUD_ERROR_PATTERN] = "pattern",
    [PINAUD_ERROR_ENUM] = "enum",
    [PINAUD_ERROR_RANGE] = "range",
    [PINAUD_ERROR_CONFLICT] = "conflict",
    [PINAUD_ERROR_REQUIRED] = "required",
    [PINAUD_ERROR_AUDIENCE_TYPE] = "audience_type"
};


static const char  *pinaud_audience_type_names[] = {
    [PINAUD_TYPE_NONE] = "",
    [PINAUD_TYPE_CUSTOMER_LIST] = "CUSTOMER_LIST",
    [PINAUD_TYPE_ACTALIKE] = "ACTALIKE",
    [PINAUD_TYPE_VISITOR] = "VISITOR",
    [PINAUD_TYPE_ENGAGEMENT] = "ENGAGEMENT"
};


size_t
pinaud_audience_scratch(size_t len)
{
    if (len < PINAUD_AUDIENCE_MIN_BODY) {
        len = PINAUD_AUDIENCE_MIN_BODY;
    }

    return PINAUD_AUDIENCE_SCRATCH * len;
}


void
pinaud_audience_check(const pinaud_audience_contract_t *contract,
    const unsigned char *body, size_t len, void *scratch, size_t scratch_len,
    pinaud_audience_verdict_t *verdict)
{
    pinaud_check_t  check;

    if (pinaud_check_init(&check, contract, body, len, scratch, scratch_len,
                          verdict))
    {
        pinaud_check_body(&check);
    }

    if (check.exhausted) {
        pinaud_check_alone(&check, PINAUD_ERROR_SYNTAX, 0,
                           "needs more memory than there is");
    }

    verdict->forwarded_len = pinaud_check_length(verdict, len);
}


static int
pinaud_check_init(pinaud_check_t *check,
    const pinaud_audience_contract_t *contract, const unsigned char *body,
    size_t len, void *scratch, size_t scratch_len,
    pinaud_audience_verdict_t *verdict)
{
    size_t  names;

    verdict->valid = 1;
    verdict->type = PINAUD_TYPE_NONE;
    verdict->nerrors = 0;
    verdict->omitted = 0;
    verdict->edits = NULL;
    verdict->nedits = 0;
    memset(verdict->counts, 0, sizeof(verdict->counts));

    check->contract = contract;
    check->verdict = verdict;
    check->exhausted = 0;
    check->names.slots = NULL;
    check->rule = 0;
    check->told = 0;
    check->declared = PINAUD_TYPE_NONE;
    check->account = contract->account;
    check->account_len = contract->account_len;

    check->memory = scratch;
    check->free = check->memory;
    check->end = check->memory + scratch_len;

    if (len > PINAUD_AUDIENCE_MAX_BODY) {
        pinaud_check_alone(check, PINAUD_ERROR_SYNTAX, 0,
                           "is longer than 4 GB");
        return 0;
    }

    pinaud_json_init(&check->json, body, len);

    /* the names' place is the end, whether it comes to be used or not */

    names = (pinaud_names_memory(pinaud_check_names(len)) + 7) / 8 * 8;

    if (names > scratch_len) {
        check->exhausted = 1;
        return 0;
    }

    check->end = check->memory + (scratch_len - names) / 8 * 8;

    return 1;
}


size_t
pinaud_check_names(size_t len)
{
    return len / 5;
}


static void
pinaud_check_body(pinaud_check_t *check)
{
    pinaud_json_token_e     token;
    const pinaud_object_t  *object;

    token = pinaud_json_next(&check->json);

    if (token == PINAUD_JSON_OBJECT) {
        object = pinaud_contract_body(check->contract->operation);
        (void) pinaud_check_object(check, object, 0);

    } else if (token != PINAUD_JSON_ERROR) {
        pinaud_check_error(check, 0, NULL, PINAUD_ERROR_TYPE,
                           "must be an object");
        pinaud_check_skip(check, token);
    }

    if (pinaud_json_next(&check->json) == PINAUD_JSON_ERROR) {
        pinaud_check_failure(check);
        return;
    }

    if (check->rule) {
        pinaud_check_type(check);
    }
}


/* The audience type that the rule tells, against audience_type. */

static void
pinaud_check_type(pinaud_check_t *check)
{
    unsigned                type;
    const char             *detail;

    type = PINAUD_TYPE_CUSTOMER_LIST;

    while (type <= PINAUD_TYPE_ENGAGEMENT
           && check->told != PINAUD_TYPE_BIT(type))
    {
        type++;
    }

    if (type <= PINAUD_TYPE_ENGAGEMENT) {
        check->verdict->type = (pinaud_audience_type_e) type;

        if (check->declared == PINAUD_TYPE_NONE || check->declared == type) {
            return;
        }

        detail = "must be of the audience_type that is given";

    } else if (check->told == 0) {
        detail = "must have members of one audience type";

    } else {
        detail = "must not have members of several audience types";
    }

    pinaud_check_error(check, 0, "rule", PINAUD_ERROR_AUDIENCE_TYPE, detail);
}


static void
pinaud_check_failure(pinaud_check_t *check)
{
    static const pinaud_error_code_e  codes[] = {
        [PINAUD_JSON_SYNTAX] = PINAUD_ERROR_SYNTAX,
        [PINAUD_JSON_ENCODING] = PINAUD_ERROR_ENCODING,
        [PINAUD_JSON_DEPTH] = PINAUD_ERROR_DEPTH
    };

    pinaud_check_alone(check, codes[check->json.failure], check->json.offset,
                       check->json.detail);
}


static size_t
pinaud_check_length(const pinaud_audience_verdict_t *verdict, size_t len)
{
    const pinaud_edit_t  *edit;

    for (edit = verdict->edits; edit != NULL; edit = edit->next) {
        len = len - edit->length + edit->text_len;
    }

    return len;
}


const char *
pinaud_error_name(pinaud_error_code_e code)
{
    return pinaud_error_names[code];
}


const char *
pinaud_audience_type_name(pinaud_audience_type_e type)
{
    return pinaud_audience_type_names[type];
}


const char *
pinaud_operation_name(pinaud_operation_e operation)
{
    return (operation == PINAUD_CREATE) ? "audiences/create"
                                        : "audiences/create_custom";
}
