
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * What must hold for any body, whose first byte chooses operation and modes:
 *
 * - what is refused has errors and no edits, and says the same in a problem
 *   document;
 * - what is forwarded means what was accepted: jansson reads both alike, but
 *   for the members that were edited, and those mean the same;
 * - what is forwarded is valid as it is, in either mode, without edits;
 * - lenient and forward only ever accept more.
 *
 * The mutator knows where values and members are, so that most of what it
 * makes is JSON and much of it nearly an audience.
 */


#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "audience_mutate.h"
#include "pinaud_problem.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


#define CREATE   1
#define LENIENT  2
#define FORWARD  4


typedef struct {
    pinaud_audience_verdict_t   verdict;
    void                       *scratch;
    unsigned char              *forwarded;
} fuzz_case_t;


static void
fuzz_check(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}


static void
fuzz_run(fuzz_case_t *run, unsigned flags, const unsigned char *body,
    size_t len)
{
    size_t                       size;
    unsigned char               *end;
    pinaud_audience_contract_t   contract;

    memset(&contract, 0, sizeof(contract));
    contract.operation = (flags & CREATE) ? PINAUD_CREATE
                                          : PINAUD_CREATE_CUSTOM;
    contract.lenient = (flags & LENIENT) != 0;
    contract.forward_unknown = (flags & FORWARD) != 0;
    contract.account = (const unsigned char *) "549755885175";
    contract.account_len = 12;
    contract.key[0] = 0x0706050403020100;
    contract.key[1] = 0x0F0E0D0C0B0A0908;

    size = pinaud_audience_scratch(len);
    fuzz_check(len < 1600 || size <= 8 * len, "scratch");

    run->scratch = malloc(size);
    memset(&run->verdict, 0xA5, sizeof(run->verdict));

    pinaud_audience_check(&contract, body, len, run->scratch, size,
                          &run->verdict);

    run->forwarded = malloc(run->verdict.forwarded_len);
    end = pinaud_audience_write(&run->verdict, body, len, run->forwarded);

    fuzz_check(end == run->forwarded + run->verdict.forwarded_len, "length");
}


static void
fuzz_free(fuzz_case_t *run)
{
    free(run->scratch);
    free(run->forwarded);
}


static void
fuzz_refused(const fuzz_case_t *run, const unsigned char *body, size_t len)
{
    size_t                            i, total;
    json_t                           *document;
    const pinaud_audience_error_t    *error;
    const pinaud_audience_verdict_t  *verdict;

    verdict = &run->verdict;

    fuzz_check(verdict->nerrors > 0 && verdict->edits == NULL
               && verdict->nedits == 0, "refused");
    fuzz_check(verdict->forwarded_len == len
               && (len == 0 || memcmp(run->forwarded, body, len) == 0),
               "refused body");

    for (total = 0, i = 0; i < PINAUD_ERROR_CODES; i++) {
        total += verdict->counts[i];
    }

    fuzz_check(total == verdict->nerrors + verdict->omitted, "counts");

    for (i = 0; i < verdict->nerrors; i++) {
        error = &verdict->errors[i];

        fuzz_check(error->detail != NULL, "detail");
        fuzz_check(error->pointer_len <= PINAUD_AUDIENCE_MAX_POINTER,
                   "pointer's length");
        fuzz_check(error->pointer_len == 0 || *error->pointer == '/',
                   "pointer");
        fuzz_check(error->code > PINAUD_ERROR_DEPTH || total == 1, "alone");
        fuzz_check(error->code > PINAUD_ERROR_DEPTH || error->offset <= len,
                   "offset");
        fuzz_check(strcmp(error->detail, "needs more memory than there is"),
                   "memory");
    }

    document = pinaud_problem_document(PINAUD_PROBLEM_INVALID_BODY, 0, NULL,
                                       NULL, 0, verdict);
    fuzz_check(document != NULL, "document");
    json_decref(document);
}


/* A scalar as one text for all its accepted forms. */

static char *
fuzz_text(const json_t *value)
{
    char  *text, *p;

    switch (json_typeof(value)) {

    case JSON_STRING:
        text = strdup(json_string_value(value));

        for (p = text; *p != '\0'; p++) {
            *p = (char) tolower((unsigned char) *p);
        }

        return text;

    case JSON_INTEGER:
        text = malloc(32);
        sprintf(text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return text;

    case JSON_TRUE:
        return strdup("true");

    case JSON_FALSE:
        return strdup("false");

    default:
        fuzz_check(0, "edited to what is no scalar");
        return NULL;
    }
}


/* The distinct texts of a value, in their order, as keys of an object. */

static json_t *
fuzz_meaning(json_t *value)
{
    char    *text;
    size_t   i;
    json_t  *meaning, *item;

    meaning = json_object();

    for (i = 0; i == 0 || i < json_array_size(value); i++) {
        item = json_is_array(value) ? json_array_get(value, i) : value;
        text = fuzz_text(item);
        json_object_set_new(meaning, text, json_null());
        free(text);
    }

    return meaning;
}


static void
fuzz_same_meaning(const char *member, json_t *before, json_t *after)
{
    json_t  *was, *is;

    if (json_is_null(before)) {
        fuzz_check(after == NULL, "null is not dropped");
        return;
    }

    fuzz_check(before != NULL && after != NULL, "edited away");

    if (strcmp(member, "name") == 0) {
        fuzz_check(strstr(json_string_value(before), json_string_value(after))
                   != NULL && json_string_length(after) > 0, "name");
        return;
    }

    was = fuzz_meaning(before);
    is = fuzz_meaning(after);
    fuzz_check(json_equal(was, is), "meaning");
    json_decref(was);
    json_decref(is);
}


/*
 * The value that holds the edited member, found by all but the last step of
 * the pointer, which is put into "name". No edit's pointer has escapes.
 */

static json_t *
fuzz_parent(json_t *value, const pinaud_edit_t *edit, char *name)
{
    char                 *step;
    const unsigned char  *p, *end, *slash;

    p = edit->pointer;
    end = p + edit->pointer_len;
    step = name;

    for ( ;; ) {
        fuzz_check(p < end && *p == '/', "edit's pointer");

        for (slash = ++p; slash < end && *slash != '/'; slash++) { /* void */ }

        fuzz_check(slash - p < 64, "edit's step");
        memcpy(step, p, (size_t) (slash - p));
        step[slash - p] = '\0';

        if (slash == end) {
            return value;
        }

        value = json_is_array(value)
                ? json_array_get(value, (size_t) strtoul(step, NULL, 10))
                : json_object_get(value, step);

        p = slash;
    }
}


static void
fuzz_same_but_edits(const fuzz_case_t *run, const unsigned char *body,
    size_t len)
{
    char                  name[64];
    size_t                offset;
    json_t               *before, *after, *was, *is;
    json_error_t          error;
    const pinaud_edit_t  *edit;

    offset = 0;

    for (edit = run->verdict.edits; edit != NULL; edit = edit->next) {
        fuzz_check(edit->offset >= offset
                   && edit->offset + edit->length <= len
                   && edit->length > 0, "order of edits");
        offset = edit->offset + edit->length;
    }

    before = json_loadb((const char *) body, len, JSON_REJECT_DUPLICATES,
                        &error);

    if (before == NULL) {
        fuzz_check(json_error_code(&error) == json_error_numeric_overflow,
                   "jansson refuses");
        return;
    }

    after = json_loadb((const char *) run->forwarded,
                       run->verdict.forwarded_len, JSON_REJECT_DUPLICATES,
                       &error);

    if (after == NULL) {

        /* an id in quotes may have become an integer of any length */

        fuzz_check(json_error_code(&error) == json_error_numeric_overflow,
                   "jansson refuses what is forwarded");
        json_decref(before);
        return;
    }

    for (edit = run->verdict.edits; edit != NULL; edit = edit->next) {
        was = fuzz_parent(before, edit, name);
        is = fuzz_parent(after, edit, name);

        fuzz_same_meaning(edit->member, json_object_get(was, name),
                          json_object_get(is, name));

        json_object_del(was, name);
        json_object_del(is, name);
    }

    fuzz_check(json_equal(before, after), "more than the edits");

    json_decref(before);
    json_decref(after);
}


static void
fuzz_accepted(const fuzz_case_t *run, unsigned flags,
    const unsigned char *body, size_t len)
{
    fuzz_case_t  again;

    fuzz_check(run->verdict.nerrors == 0 && run->verdict.omitted == 0,
               "accepted");
    fuzz_check(run->verdict.type != PINAUD_TYPE_NONE, "type");

    fuzz_same_but_edits(run, body, len);

    /* canonical */

    fuzz_run(&again, flags, run->forwarded, run->verdict.forwarded_len);
    fuzz_check(again.verdict.valid && again.verdict.nedits == 0
               && again.verdict.type == run->verdict.type, "canonical");
    fuzz_free(&again);

    fuzz_run(&again, flags & ~(unsigned) LENIENT, run->forwarded,
             run->verdict.forwarded_len);
    fuzz_check(again.verdict.valid && again.verdict.nedits == 0,
               "canonical as documented");
    fuzz_free(&again);

    /* more is accepted */

    fuzz_run(&again, flags | LENIENT, body, len);
    fuzz_check(again.verdict.valid && again.verdict.type == run->verdict.type
               && again.verdict.nedits >= run->verdict.nedits, "lenient");
    fuzz_free(&again);

    fuzz_run(&again, flags | FORWARD, body, len);
    fuzz_check(again.verdict.valid && again.verdict.type == run->verdict.type
               && again.verdict.nedits == run->verdict.nedits, "forward");
    fuzz_free(&again);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t          len;
    unsigned        flags;
    fuzz_case_t     run;
    unsigned char  *body;

    if (size == 0) {
        return 0;
    }

    /* to the byte, for the address sanitizer */

    flags = data[0] & 7;
    len = size - 1;
    body = malloc(len);

    if (len) {
        memcpy(body, data + 1, len);
    }

    fuzz_run(&run, flags, body, len);

    if (run.verdict.valid) {
        fuzz_accepted(&run, flags, body, len);

    } else {
        fuzz_refused(&run, body, len);
    }

    fuzz_free(&run);
    free(body);

    return 0;
}
