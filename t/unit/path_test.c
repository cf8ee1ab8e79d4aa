
/*
 * Copyright (C) the ngx_pinaud_module authors
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "pinaud_path.h"


typedef struct {
    const char     *target;
    pinaud_path_e   kind;
    const char     *account;       /* NULL: none */
    unsigned        query;
} path_case_t;


#define BASE  "/v5/ad_accounts/"
#define ID    "549755885175"


static void
path_expect(const char *target, size_t len, const path_case_t *test)
{
    unsigned char  *copy;
    pinaud_path_t   path;

    copy = malloc(len);

    if (len) {
        memcpy(copy, target, len);
    }

    memset(&path, 0xA5, sizeof(path));
    pinaud_path_read(copy, len, &path);

    if (path.kind != test->kind || path.query != test->query) {
        fail_msg("%s: kind %d, query %d", target, path.kind, path.query);
    }

    if (test->account == NULL) {
        assert_null(path.account);
        assert_int_equal(path.account_len, 0);

    } else {
        assert_int_equal(path.account_len, strlen(test->account));
        assert_memory_equal(path.account, test->account, path.account_len);
        assert_ptr_equal(path.account, copy + sizeof(BASE) - 1);
    }

    free(copy);
}


static void
test_paths(void **state)
{
    static const path_case_t  tests[] = {

        /* canonical */

        { BASE ID "/audiences/custom", PINAUD_PATH_CREATE_CUSTOM, ID, 0 },
        { BASE ID "/audiences", PINAUD_PATH_AUDIENCES, ID, 0 },
        { BASE ID "/audiences/1", PINAUD_PATH_AUDIENCE, ID, 0 },
        { BASE ID "/audiences/123456789012345678", PINAUD_PATH_AUDIENCE, ID,
          0 },
        { BASE "0/audiences", PINAUD_PATH_AUDIENCES, "0", 0 },
        { BASE "123456789012345678/audiences", PINAUD_PATH_AUDIENCES,
          "123456789012345678", 0 },
        { BASE ID "/campaigns", PINAUD_PATH_ACCOUNT, ID, 0 },
        { BASE ID "/audiences/1/x", PINAUD_PATH_ACCOUNT, ID, 0 },
        { BASE ID "/audiences/custom/x", PINAUD_PATH_ACCOUNT, ID, 0 },
        { BASE ID "/audiences/customs", PINAUD_PATH_ACCOUNT, ID, 0 },
        { BASE ID "/audiences/abc", PINAUD_PATH_ACCOUNT, ID, 0 },
        { BASE ID "/audiences/x1", PINAUD_PATH_ACCOUNT, ID, 0 },
        { BASE ID "/audiences/1234567890123456789", PINAUD_PATH_ACCOUNT, ID,
          0 },
        { BASE ID "/a/b/c/d/e/f", PINAUD_PATH_ACCOUNT, ID, 0 },
        { BASE ID "/a-b_c.d~e", PINAUD_PATH_ACCOUNT, ID, 0 },
        { BASE ID "/..a", PINAUD_PATH_ACCOUNT, ID, 0 },
        { BASE ID "/...", PINAUD_PATH_ACCOUNT, ID, 0 },

        /* queries, even empty ones */

        { BASE ID "/audiences?", PINAUD_PATH_AUDIENCES, ID, 1 },
        { BASE ID "/audiences?page_size=25", PINAUD_PATH_AUDIENCES, ID, 1 },
        { BASE ID "/audiences?a=/../%2e%2e//?b", PINAUD_PATH_AUDIENCES, ID,
          1 },
        { BASE ID "/audiences/custom?x", PINAUD_PATH_CREATE_CUSTOM, ID, 1 },
        { BASE ID "/audiences/?x", PINAUD_PATH_INVALID, NULL, 1 },
        { BASE ID "/audiences?a\x01", PINAUD_PATH_INVALID, NULL, 1 },
        { BASE ID "/audiences?a b", PINAUD_PATH_INVALID, NULL, 1 },
        { BASE ID "/audiences?\x80", PINAUD_PATH_INVALID, NULL, 1 },
        { BASE ID "/audiences?\x7F", PINAUD_PATH_INVALID, NULL, 1 },

        /* slashes and dots */

        { BASE ID "/audiences/", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences/custom/", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "//audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences//custom", PINAUD_PATH_INVALID, NULL, 0 },
        { "//v5/ad_accounts/" ID "/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { "/v5//ad_accounts/" ID "/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE "/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { "/./v5/ad_accounts/" ID "/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/./audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences/.", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences/custom/..", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/../" ID "/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE "1/../2/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { "/x/../v5/ad_accounts/" ID "/audiences", PINAUD_PATH_INVALID, NULL,
          0 },
        { "/../v5/ad_accounts/" ID "/audiences", PINAUD_PATH_INVALID, NULL,
          0 },
        { BASE ID "/", PINAUD_PATH_INVALID, NULL, 0 },

        /* encoded */

        { BASE ID "/audiences/cust%6fm", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audience%73", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE "%35/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { "/%765/ad_accounts/1/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { "/v5/ad%5Faccounts/1/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "%2Faudiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences%2fcustom", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE "1/%2e%2e/2/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE "1/%2E./2/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE "1%2f..%2f2/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences%00", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences%3Fx", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences%", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences%2", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences%zz", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences/%252e%252e", PINAUD_PATH_INVALID, NULL, 0 },

        /* other bytes */

        { BASE ID "/audiences;x", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences/custom;a=b", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences#x", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences\\custom", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences ", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences\x01", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences\x80", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences\x7F", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/Audiences/custom", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences/Custom", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE ID "/audiences/CUSTOM?x", PINAUD_PATH_INVALID, NULL, 1 },
        { BASE ID "/AUDIENCES", PINAUD_PATH_INVALID, NULL, 0 },

        /* ids */

        { BASE "1234567890123456789/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE "abc/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE "12a/audiences", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE "-1/audiences/custom", PINAUD_PATH_INVALID, NULL, 0 },
        { BASE "12a/campaigns", PINAUD_PATH_INVALID, NULL, 0 },

        /* the token endpoint, however it is spelt */

        { "/v5/oauth/token", PINAUD_PATH_OAUTH, NULL, 0 },
        { "/v5/oauth/token?x", PINAUD_PATH_OAUTH, NULL, 1 },
        { "/v5/oauth", PINAUD_PATH_OAUTH, NULL, 0 },
        { "/v5/oauth/", PINAUD_PATH_OAUTH, NULL, 0 },
        { "/v5//oauth/token", PINAUD_PATH_OAUTH, NULL, 0 },
        { "/v5/./oauth/token", PINAUD_PATH_OAUTH, NULL, 0 },
        { "/v5/%6fauth/token", PINAUD_PATH_OAUTH, NULL, 0 },
        { "/v5%2foauth/token", PINAUD_PATH_OAUTH, NULL, 0 },
        { BASE "1/../../oauth/token", PINAUD_PATH_OAUTH, NULL, 0 },
        { BASE "1/%2e%2e/%2e%2e/oauth/token", PINAUD_PATH_OAUTH, NULL, 0 },
        { BASE "1/2/3/4/../../../../../oauth/token", PINAUD_PATH_OAUTH, NULL,
          0 },

        /* none of these */

        { "", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "*", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "?", PINAUD_PATH_UNKNOWN, NULL, 1 },
        { "/v5", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/v5/", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/v5/ad_accounts", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/v5/ad_accounts/", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/v5/ad_accounts?x", PINAUD_PATH_UNKNOWN, NULL, 1 },
        { BASE ID, PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/v5/pins", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/v5/oauthx", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/v4/ad_accounts/1/audiences", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/V5/ad_accounts/1/audiences", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/v5/ad_account/1/audiences", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/v5/ad_accountsx/1/audiences", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "/x/v5/ad_accounts/1/audiences", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { BASE "1/../../../x", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "v5/ad_accounts/1/audiences", PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "http://api.pinterest.com/v5/ad_accounts/1/audiences",
          PINAUD_PATH_UNKNOWN, NULL, 0 },
        { "../v5/ad_accounts/1/audiences", PINAUD_PATH_UNKNOWN, NULL, 0 },
    };

    size_t  i;

    (void) state;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        path_expect(tests[i].target, strlen(tests[i].target), &tests[i]);
    }
}


static void
test_zero_byte(void **state)
{
    static const path_case_t  invalid = {
        "zero byte", PINAUD_PATH_INVALID, NULL, 0
    };

    static const path_case_t  unknown = {
        "zero byte", PINAUD_PATH_UNKNOWN, NULL, 0
    };

    static const char  path[] = BASE ID "/audiences\0";
    static const char  name[] = "/v5/ad_accounts\0/1/audiences";

    (void) state;

    path_expect(path, sizeof(path) - 1, &invalid);
    path_expect(name, sizeof(name) - 1, &unknown);
}


/* Any one byte changed, and it is another path or none. */

static void
test_one_byte(void **state)
{
    size_t         i, len;
    unsigned       byte;
    unsigned char  target[64];
    pinaud_path_t  path;

    static const char  create[] = BASE ID "/audiences/custom";

    (void) state;

    len = sizeof(create) - 1;

    for (i = 0; i < len; i++) {
        for (byte = 0; byte < 256; byte++) {
            memcpy(target, create, len);

            if (target[i] == byte) {
                continue;
            }

            target[i] = (unsigned char) byte;
            pinaud_path_read(target, len, &path);

            if (path.kind == PINAUD_PATH_CREATE_CUSTOM) {
                assert_true(i >= sizeof(BASE) - 1
                            && i < sizeof(BASE ID) - 1
                            && byte >= '0' && byte <= '9');
                assert_ptr_equal(path.account, target + sizeof(BASE) - 1);
                assert_int_equal(path.account_len, sizeof(ID) - 1);

            } else if (path.kind == PINAUD_PATH_AUDIENCES) {
                assert_int_equal(byte, '?');
                assert_int_equal(i, len - sizeof("custom"));
                assert_true(path.query);
            }
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_zero_byte),
        cmocka_unit_test(test_one_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
