
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * "pinaudctl validate": what the gateway would say of a body.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>
#include "ctl.h"
#include "pinaud_audience.h"


typedef struct {
    const char                       *name;
    const unsigned char              *body;
    size_t                            len;
    unsigned char                    *forwarded;   /* NULL: refused */
    const pinaud_audience_verdict_t  *verdict;
} ctl_validated_t;


static int ctl_validate(ctl_t *ctl);
static int ctl_validate_contract(ctl_t *ctl,
    pinaud_audience_contract_t *contract);
static int ctl_validate_choice(ctl_t *ctl, const char *option,
    const char *first, const char *second);
static int ctl_validate_file(ctl_t *ctl,
    const pinaud_audience_contract_t *contract, const char *file,
    json_t *array);
static void ctl_validate_text(ctl_t *ctl, const ctl_validated_t *validated);
static json_t *ctl_validate_json(const ctl_validated_t *validated);
static json_t *ctl_validate_errors(const pinaud_audience_verdict_t *verdict);


static const ctl_option_t  ctl_validate_table[] = {

    { .name = "operation", .arg = "OP",
      .help = "audiences/create; else audiences/create_custom" },

    { .name = "account", .arg = "ID",
      .help = "the account that ad_account_id must equal" },

    { .name = "normalize", .arg = "MODE",
      .help = "documented (default) or lenient" },

    { .name = "unknown-members", .arg = "MODE",
      .help = "reject (default) or forward" },

    { .name = NULL }
};


const ctl_command_t  ctl_validate_commands[] = {

    { .noun = "validate", .args = "FILE...", .min = 1, .max = CTL_MANY,
      .options = ctl_validate_table, .handler = ctl_validate,
      .summary = "Check audience bodies as the gateway does",
      .details =
"Needs no Redis. Prints the body that would be forwarded on stdout, and edits\n"
"and errors on stderr. Exit code 1: at least one file is refused. \"-\" is\n"
"stdin." },

    { .noun = NULL }
};


static int
ctl_validate(ctl_t *ctl)
{
    int                         code, rc;
    json_t                     *array;
    unsigned                    i;
    pinaud_audience_contract_t  contract;

    rc = ctl_validate_contract(ctl, &contract);

    if (rc != CTL_DONE) {
        return rc;
    }

    code = CTL_DONE;
    array = json_array();

    for (i = 0; i < ctl->nargs; i++) {
        rc = ctl_validate_file(ctl, &contract, ctl->args[i], array);

        if (rc != CTL_DONE) {
            code = rc;
        }
    }

    if (ctl->json) {
        ctl_print_json(array);

    } else {
        json_decref(array);
    }

    return code;
}


static int
ctl_validate_contract(ctl_t *ctl, pinaud_audience_contract_t *contract)
{
    int          lenient, operation, unknown;
    const char  *id;

    memset(contract, 0, sizeof(pinaud_audience_contract_t));

    operation = ctl_validate_choice(ctl, "operation",
                                    pinaud_operation_name(PINAUD_CREATE_CUSTOM),
                                    pinaud_operation_name(PINAUD_CREATE));
    lenient = ctl_validate_choice(ctl, "normalize", "documented", "lenient");
    unknown = ctl_validate_choice(ctl, "unknown-members", "reject",
                                  "forward");

    if (operation < 0 || lenient < 0 || unknown < 0) {
        return CTL_USAGE;
    }

    id = ctl_given(ctl, "account");

    if (id != NULL) {
        if (ctl_check_account(id) != CTL_DONE) {
            return CTL_USAGE;
        }

        contract->account = (const unsigned char *) id;
        contract->account_len = strlen(id);
    }

    contract->operation = operation ? PINAUD_CREATE : PINAUD_CREATE_CUSTOM;
    contract->lenient = (lenient == 1);
    contract->forward_unknown = (unknown == 1);

    if (RAND_bytes((unsigned char *) contract->key, sizeof(contract->key))
        != 1)
    {
        return ctl_fail(CTL_REFUSED, "libcrypto has no random bytes");
    }

    return CTL_DONE;
}


/* 0 for the first, which is the default, 1 for the second, or -1. */

static int
ctl_validate_choice(ctl_t *ctl, const char *option, const char *first,
    const char *second)
{
    const char  *value;

    value = ctl_given(ctl, option);

    if (value == NULL || strcmp(value, first) == 0) {
        return 0;
    }

    if (strcmp(value, second) == 0) {
        return 1;
    }

    ctl_fail(CTL_USAGE, "--%s is %s or %s", option, first, second);

    return -1;
}


static int
ctl_validate_file(ctl_t *ctl, const pinaud_audience_contract_t *contract,
    const char *file, json_t *array)
{
    int                         rc;
    char                       *body;
    void                       *scratch;
    size_t                      size;
    ctl_validated_t             validated;
    pinaud_audience_verdict_t   verdict;

    memset(&validated, 0, sizeof(ctl_validated_t));

    rc = ctl_file_read(ctl, file, CTL_FILE_MAX, &body, &validated.len);

    if (rc != CTL_DONE) {
        return rc;
    }

    validated.name = (strcmp(file, "-") == 0) ? "stdin" : file;
    validated.body = (const unsigned char *) body;
    validated.verdict = &verdict;

    size = pinaud_audience_scratch(validated.len);
    scratch = ctl_alloc(ctl, size);

    pinaud_audience_check(contract, validated.body, validated.len, scratch,
                          size, &verdict);

    if (verdict.valid) {
        validated.forwarded = ctl_alloc(ctl, verdict.forwarded_len + 1);
        pinaud_audience_write(&verdict, validated.body, validated.len,
                              validated.forwarded);
    }

    if (ctl->json) {
        ctl_json_append(array, ctl_validate_json(&validated));

    } else {
        ctl_validate_text(ctl, &validated);
    }

    return verdict.valid ? CTL_DONE : CTL_REFUSED;
}


static void
ctl_validate_text(ctl_t *ctl, const ctl_validated_t *validated)
{
    size_t                            len;
    unsigned                          i;
    const char                       *at;
    const pinaud_edit_t              *edit;
    const pinaud_audience_error_t    *error;
    const pinaud_audience_verdict_t  *verdict;

    verdict = validated->verdict;

    for (i = 0; i < verdict->nerrors; i++) {
        error = &verdict->errors[i];

        if (error->code <= PINAUD_ERROR_DEPTH) {
            at = ctl_format(ctl, "byte %zu", error->offset);

        } else if (error->pointer_len == 0) {
            at = "the body";

        } else {
            at = ctl_printable(ctl, (const char *) error->pointer,
                               error->pointer_len);
        }

        fprintf(stderr, "%s: %s: %s (%s)\n", validated->name, at,
                error->detail, pinaud_error_name(error->code));
    }

    if (verdict->omitted) {
        fprintf(stderr, "%s: and %zu more errors\n", validated->name,
                verdict->omitted);
    }

    if (!verdict->valid) {
        return;
    }

    for (edit = verdict->edits; edit; edit = edit->next) {
        fprintf(stderr, "%s: %s: edited\n", validated->name,
                ctl_printable(ctl, (const char *) edit->pointer,
                              edit->pointer_len));
    }

    len = verdict->forwarded_len;
    fwrite(validated->forwarded, 1, len, stdout);

    if (len == 0 || validated->forwarded[len - 1] != '\n') {
        putchar('\n');
    }
}


/* The body is told as text: its numbers keep their digits. */

static json_t *
ctl_validate_json(const ctl_validated_t *validated)
{
    json_t                           *edits, *object;
    const pinaud_edit_t              *edit;
    const pinaud_audience_verdict_t  *verdict;

    verdict = validated->verdict;

    object = json_pack("{s:s, s:b}", "file", validated->name, "valid",
                       (int) verdict->valid);

    if (!verdict->valid) {
        json_object_set_new(object, "errors", ctl_validate_errors(verdict));
        json_object_set_new(object, "errors_omitted",
                            json_integer((json_int_t) verdict->omitted));
        return object;
    }

    edits = json_array();

    for (edit = verdict->edits; edit; edit = edit->next) {
        ctl_json_append(edits,
            json_stringn((const char *) edit->pointer, edit->pointer_len));
    }

    json_object_set_new(object, "type",
        json_string(pinaud_audience_type_name(verdict->type)));
    json_object_set_new(object, "edits", edits);
    json_object_set_new(object, "body",
        json_stringn((const char *) validated->forwarded,
                     verdict->forwarded_len));

    return object;
}


static json_t *
ctl_validate_errors(const pinaud_audience_verdict_t *verdict)
{
    json_t                         *array, *item;
    unsigned                        i;
    const pinaud_audience_error_t  *error;

    array = json_array();

    for (i = 0; i < verdict->nerrors; i++) {
        error = &verdict->errors[i];

        item = json_pack("{s:s, s:s}", "code", pinaud_error_name(error->code),
                         "detail", error->detail);

        if (error->code <= PINAUD_ERROR_DEPTH) {
            json_object_set_new(item, "offset",
                                json_integer((json_int_t) error->offset));

        } else {
            json_object_set_new(item, "pointer",
                json_stringn((const char *) error->pointer,
                             error->pointer_len));
        }

        ctl_json_append(array, item);
    }

    return array;
}
