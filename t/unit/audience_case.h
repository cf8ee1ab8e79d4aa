
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * Checks bodies in tests. Texts of cases have ' for ", and what is expected
 * is one line: the forwarded body, or "! code pointer, code pointer".
 */


#ifndef _AUDIENCE_CASE_H_INCLUDED_
#define _AUDIENCE_CASE_H_INCLUDED_


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "pinaud_audience.h"


#define ACCOUNT  "549755885175"

/* What a case asks for, besides create_custom in documented mode. */

#define CREATE   1
#define LENIENT  2
#define FORWARD  4
#define NO_PATH  8

#define UNCHANGED  "="


typedef struct {
    pinaud_audience_verdict_t    verdict;
    unsigned char               *body;
    size_t                       len;
    void                        *scratch;
    char                        *forwarded;  /* zero terminated */
    pinaud_audience_contract_t   contract;
} audience_case_t;


static inline void
audience_contract(pinaud_audience_contract_t *contract, unsigned flags)
{
    memset(contract, 0, sizeof(*contract));

    contract->operation = (flags & CREATE) ? PINAUD_CREATE
                                           : PINAUD_CREATE_CUSTOM;
    contract->lenient = (flags & LENIENT) != 0;
    contract->forward_unknown = (flags & FORWARD) != 0;
    contract->key[0] = 0x0706050403020100;
    contract->key[1] = 0x0F0E0D0C0B0A0908;

    if (!(flags & NO_PATH)) {
        contract->account = (const unsigned char *) ACCOUNT;
        contract->account_len = sizeof(ACCOUNT) - 1;
    }
}


/*
 * Checks bytes in memory that is exactly as large as it must be, so that the
 * address sanitizer sees every byte too far.
 */

static inline void
audience_run(audience_case_t *run, unsigned flags, const char *body,
    size_t len)
{
    size_t          size;
    unsigned char  *end;

    audience_contract(&run->contract, flags);
    size = pinaud_audience_scratch(len);

    run->len = len;
    run->body = malloc(len);
    run->scratch = malloc(size);

    if (len) {
        memcpy(run->body, body, len);
    }

    memset(run->scratch, 0xA5, size);
    memset(&run->verdict, 0xA5, sizeof(run->verdict));

    pinaud_audience_check(&run->contract, run->body, len, run->scratch, size,
                          &run->verdict);

    run->forwarded = malloc(run->verdict.forwarded_len + 1);
    end = pinaud_audience_write(&run->verdict, run->body, len,
                                (unsigned char *) run->forwarded);
    *end = '\0';

    assert_int_equal(end - (unsigned char *) run->forwarded,
                     run->verdict.forwarded_len);
}


static inline void
audience_free(audience_case_t *run)
{
    free(run->body);
    free(run->scratch);
    free(run->forwarded);
}


static inline char *
audience_quotes(const char *text)
{
    char  *copy, *p;

    copy = strdup(text);

    for (p = copy; *p != '\0'; p++) {
        *p = (*p == '\'') ? '"' : *p;
    }

    return copy;
}


/* The errors as "! code pointer, code pointer". */

static inline char *
audience_errors(const pinaud_audience_verdict_t *verdict)
{
    char                           *text, *p;
    unsigned                        i;
    const pinaud_audience_error_t  *error;

    text = malloc(PINAUD_AUDIENCE_MAX_ERRORS * 300);
    p = text + sprintf(text, "!");

    for (i = 0; i < verdict->nerrors; i++) {
        error = &verdict->errors[i];

        p += sprintf(p, "%s %s", i ? "," : "", pinaud_error_name(error->code));

        if (error->code <= PINAUD_ERROR_DEPTH) {
            p += sprintf(p, " %zu", error->offset);
            assert_int_equal(error->pointer_len, 0);

        } else {
            p += sprintf(p, " %.*s", (int) error->pointer_len,
                         (const char *) error->pointer);
        }

        assert_non_null(error->detail);
    }

    return text;
}


/* The edits as "pointer label, pointer label". */

static inline char *
audience_edits(const pinaud_audience_verdict_t *verdict)
{
    char                 *text, *p;
    size_t                offset;
    unsigned              n;
    const pinaud_edit_t  *edit;

    text = malloc(1 + 400 * verdict->nedits);
    p = text;
    *p = '\0';
    n = 0;
    offset = 0;

    for (edit = verdict->edits; edit != NULL; edit = edit->next) {
        assert_true(edit->offset >= offset);
        offset = edit->offset + edit->length;

        p += sprintf(p, "%s%.*s %s", n ? ", " : "", (int) edit->pointer_len,
                     (const char *) edit->pointer, edit->member);
        n++;
    }

    assert_int_equal(n, verdict->nedits);

    return text;
}


/* What is forwarded must be valid as it is. */

static inline void
audience_again(const audience_case_t *run, unsigned flags)
{
    audience_case_t  again;

    audience_run(&again, flags, run->forwarded, run->verdict.forwarded_len);

    if (!again.verdict.valid || again.verdict.nedits != 0
        || again.verdict.type != run->verdict.type)
    {
        fail_msg("is not its own canonical form: %s", run->forwarded);
    }

    audience_free(&again);
}


static inline void
audience_expect(unsigned flags, const char *text, const char *expected)
{
    char             *body, *want, *errors;
    audience_case_t   run;

    body = audience_quotes(text);
    want = audience_quotes(expected);

    audience_run(&run, flags, body, strlen(body));
    errors = audience_errors(&run.verdict);

    if (*want == '!') {

        if (run.verdict.valid || strcmp(want, errors) != 0) {
            fail_msg("%s (%x)\n   expected %s\n   got      %s", body, flags,
                     want, run.verdict.valid ? "no errors" : errors);
        }

        assert_null(run.verdict.edits);
        assert_int_equal(run.verdict.nedits, 0);
        assert_int_equal(run.verdict.forwarded_len, run.len);

    } else {

        if (!run.verdict.valid || run.verdict.nerrors != 0) {
            fail_msg("%s (%x)\n   got %s", body, flags, errors);
        }

        if (strcmp(want, UNCHANGED) == 0) {
            assert_int_equal(run.verdict.nedits, 0);
            assert_string_equal(run.forwarded, body);

        } else {
            assert_string_equal(run.forwarded, want);
            assert_true(run.verdict.nedits > 0);
        }

        free(audience_edits(&run.verdict));
        audience_again(&run, flags);
    }

    free(body);
    free(want);
    free(errors);
    audience_free(&run);
}


/* The same for a rule, in an otherwise valid body of create_custom. */

static inline void
audience_expect_rule(unsigned flags, const char *rule, const char *expected)
{
    char  body[4096], want[4096];

    static const char  top[] = "{'name':'N','sharing_type':'CUSTOM',"
                               "'data_party':'1p','rule':%s}";

    snprintf(body, sizeof(body), top, rule);

    if (*expected == '{') {
        snprintf(want, sizeof(want), top, expected);
        expected = want;
    }

    audience_expect(flags, body, expected);
}


#endif /* _AUDIENCE_CASE_H_INCLUDED_ */
