
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * The URL to which Pinterest sends a browser back.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ctl_redirect.h"


#define BROKEN   "is not whole: its encoding is broken"
#define NOTHING  "has neither a code nor an error in it"
#define TWICE    "says something twice"


/* Where a copy ends, so that nothing behind it is read unseen. */

static char *
copy(const char *text)
{
    char  *to;

    to = malloc(strlen(text) + 1);
    assert_non_null(to);

    return strcpy(to, text);
}


static void
same(const char *got, const char *expected)
{
    if (expected == NULL) {
        assert_null(got);

    } else {
        assert_non_null(got);
        assert_string_equal(got, expected);
    }
}


static void
reads(void **state)
{
    char            *text;
    size_t           i;
    ctl_redirect_t   redirect;

    static const struct {
        const char  *text;
        const char  *code;
        const char  *state;
        const char  *error;
        const char  *description;
    } cases[] = {
        { "http://localhost:8085/?code=abc&state=x1", "abc", "x1", NULL,
          NULL },
        { "  <https://h/cb?state=x1&code=abc&more=1>\r\n", "abc", "x1", NULL,
          NULL },
        { "'?code=abc&state=x1'", "abc", "x1", NULL, NULL },
        { "code=abc&state=x1", "abc", "x1", NULL, NULL },
        { "code=a%2Bb%3d+c", "a+b= c", NULL, NULL, NULL },
        { "c%6Fde=a", "a", NULL, NULL, NULL },
        { "code=a=b&state=", "a=b", "", NULL, NULL },
        { "http://h/?code=abc&state=x1#_=_", "abc", "x1", NULL, NULL },
        { "http://h/?a?b&code=x?y&&flag", "x?y", NULL, NULL, NULL },
        { "http://h/?error=access_denied&error_description=No+way%21&state=x1",
          NULL, "x1", "access_denied", "No way!" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text = copy(cases[i].text);
        assert_null(ctl_redirect_read(text, &redirect));
        same(redirect.code, cases[i].code);
        same(redirect.state, cases[i].state);
        same(redirect.error, cases[i].error);
        same(redirect.description, cases[i].description);
        free(text);
    }
}


static void
refuses(void **state)
{
    char            *text;
    size_t           i;
    const char      *wrong;
    ctl_redirect_t   redirect;

    static const struct {
        const char  *text;
        const char  *wrong;
    } cases[] = {
        { "", NOTHING },
        { " \n", NOTHING },
        { "#code=a", NOTHING },
        { "http://localhost:8085/", NOTHING },
        { "http://localhost:8085/?state=x1", NOTHING },
        { "code", NOTHING },
        { "Code=a", NOTHING },
        { "code=a&code=a", TWICE },
        { "code=a&state=x&c=1&state=x", TWICE },
        { "code=%", BROKEN },
        { "code=%4", BROKEN },
        { "code=%4g", BROKEN },
        { "code=%zz", BROKEN },
        { "code=%00", BROKEN },
        { "%0=a&code=a", BROKEN },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text = copy(cases[i].text);
        wrong = ctl_redirect_read(text, &redirect);
        assert_non_null(wrong);
        assert_string_equal(wrong, cases[i].wrong);
        free(text);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
