
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "pinaud_ratelimit.h"


#define SAFETY  "100;w=1;name=\"safety_net_app_id_user_id\""
#define WRITES  "400;w=60;name=\"ads_write_app_id_user_id\""


static const struct {
    const char      *limit;
    long             reset;
    pinaud_class_e   class;
} classes[] = {

    /* the documented form */

    { "100, " SAFETY ", " WRITES, 1, PINAUD_CLASS_ALL },
    { "400, " SAFETY ", " WRITES, 22, PINAUD_CLASS_WRITES },
    { "400, " WRITES ", " SAFETY, -1, PINAUD_CLASS_WRITES },
    { "60, " SAFETY ", 60;w=60;name=\"trends_read_app_id_user_id\"", 22,
      PINAUD_CLASS_OTHER },
    { "400,400;w=60;name=\"ads_write\"", 1, PINAUD_CLASS_WRITES },
    { "300, 300;w=86400;name=\"ads_write_app_id\"", 67150,
      PINAUD_CLASS_WRITES },
    { "  400 ,\t400 ; w=60 ; name=\"ads_write\" ", 3, PINAUD_CLASS_WRITES },
    { "400, 400;name=\"ads_write\";w=60", 3, PINAUD_CLASS_WRITES },
    { "400, 400;x=y;w=60;name=\"ads_write\"", 3, PINAUD_CLASS_WRITES },

    /* the same number twice: the time to go tells which */

    { "100, " SAFETY ", 100;w=60;name=\"ads_write_x\"", 47,
      PINAUD_CLASS_WRITES },
    { "100, " SAFETY ", 100;w=60;name=\"ads_write_x\"", 1, PINAUD_CLASS_ALL },
    { "100, 100;w=60;name=\"ads_write_x\", " SAFETY, 1, PINAUD_CLASS_ALL },
    { "100, 100;w=60;name=\"ads_write_x\", " SAFETY, -1, PINAUD_CLASS_WRITES },

    /* no name */

    { "100", 1, PINAUD_CLASS_UNKNOWN },
    { "400", 22, PINAUD_CLASS_UNKNOWN },
    { "400, 400;w=60", 22, PINAUD_CLASS_UNKNOWN },
    { "400, " SAFETY, 22, PINAUD_CLASS_UNKNOWN },

    /* nonsense */

    { "", 1, PINAUD_CLASS_UNKNOWN },
    { ",", 1, PINAUD_CLASS_UNKNOWN },
    { "x", 1, PINAUD_CLASS_UNKNOWN },
    { "-400, " WRITES, 1, PINAUD_CLASS_UNKNOWN },
    { "400.0, " WRITES, 1, PINAUD_CLASS_UNKNOWN },
    { "400, " WRITES ",", 1, PINAUD_CLASS_UNKNOWN },
    { "400, 400;w=60;name=\"ads_write", 1, PINAUD_CLASS_UNKNOWN },
    { "400, 400;w=;name=\"ads_write\"", 1, PINAUD_CLASS_UNKNOWN },
    { "400, 400;w", 1, PINAUD_CLASS_UNKNOWN },
    { "400, 400 " WRITES, 1, PINAUD_CLASS_UNKNOWN },
    { "99999999999999999999, " WRITES, 1, PINAUD_CLASS_UNKNOWN },
    { "400, 400;w=99999999999999999999;name=\"ads_write\"", 1,
      PINAUD_CLASS_UNKNOWN },
    { WRITES, 1, PINAUD_CLASS_UNKNOWN },
    { "400, 400;w=60;name=\"ads_writ\"", 1, PINAUD_CLASS_OTHER },
    { "400, 400;w=60;name=\"\"", 1, PINAUD_CLASS_OTHER },
};


static const struct {
    const char  *value;
    long         number;
} numbers[] = {
    { "0", 0 },
    { "1", 1 },
    { " 47 ", 47 },
    { "86400", 86400 },
    { "86401", -1 },
    { "1795517326", -1 },
    { "99999999999999999999999", -1 },
    { "", -1 },
    { " ", -1 },
    { "-1", -1 },
    { "1.5", -1 },
    { "1s", -1 },
    { "1 2", -1 },
    { "0x10", -1 },
};


/* A copy without a zero behind it, so that ASan sees any step too far. */

static unsigned char *
exact(const char *text, size_t *len)
{
    unsigned char  *copy;

    *len = strlen(text);
    copy = malloc(*len ? *len : 1);
    assert_non_null(copy);
    memcpy(copy, text, *len);

    return copy;
}


static void
test_class(void **state)
{
    size_t          i, len;
    unsigned char  *copy;

    (void) state;

    for (i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        copy = exact(classes[i].limit, &len);

        if (pinaud_ratelimit_class(copy, len, classes[i].reset)
            != classes[i].class)
        {
            fail_msg("class of \"%s\"", classes[i].limit);
        }

        free(copy);
    }
}


static void
test_number(void **state)
{
    size_t          i, len;
    unsigned char  *copy;

    (void) state;

    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        copy = exact(numbers[i].value, &len);

        if (pinaud_ratelimit_number(copy, len) != numbers[i].number) {
            fail_msg("number of \"%s\"", numbers[i].value);
        }

        free(copy);
    }
}


/* Every prefix of a good field is read within its bounds. */

static void
test_cut(void **state)
{
    size_t          len, cut;
    unsigned char  *copy, *part;

    (void) state;

    copy = exact("100, " SAFETY ", " WRITES, &len);

    for (cut = 0; cut < len; cut++) {
        part = malloc(cut ? cut : 1);
        assert_non_null(part);
        memcpy(part, copy, cut);
        (void) pinaud_ratelimit_class(part, cut, 1);
        free(part);
    }

    free(copy);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_class),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
