
/*
 * Copyright (C) the ngx_pinaud_module authors
 *
 * How to reach the store.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "pinaud_url.h"


#define FORM      "a store's URL is redis://[user@]host[:port][/db], "       \
                  "rediss://... or unix:/path"
#define PASSWORD  "a password in the URL is refused: "                       \
                  "put it into the password file"
#define USER      "the user in the URL is 1 to 127 characters without / @ %"
#define HOST      "the host in the URL is a name or an address"
#define HOST_LEN  "the host in the URL is 1 to 255 characters"
#define PORT      "the port in the URL is a number from 1 to 65535"
#define DB        "the database in the URL is a number"
#define BRACKETS  "what stands in brackets in the URL is not an IPv6 address"
#define SPACES    "a store's URL has no spaces and no control characters"


static void
accepts(void **state)
{
    char          error[PINAUD_URL_ERROR];
    size_t        i;
    pinaud_url_t  url;

    static const struct {
        const char  *text;
        const char  *host;
        const char  *user;
        unsigned     port;
        unsigned     db;
        int          tls;
        int          unix_socket;
    } cases[] = {
        { "redis://127.0.0.1", "127.0.0.1", "", 6379, 0, 0, 0 },
        { "redis://cache.example:6380/3", "cache.example", "", 6380, 3, 0, 0 },
        { "redis://gateway@h/0", "h", "gateway", 6379, 0, 0, 0 },
        { "redis://h/", "h", "", 6379, 0, 0, 0 },
        { "rediss://a@my_host-1:1/15", "my_host-1", "a", 1, 15, 1, 0 },
        { "redis://[::1]", "::1", "", 6379, 0, 0, 0 },
        { "rediss://u@[2001:db8::7]:65535/2", "2001:db8::7", "u", 65535, 2, 1,
          0 },
        { "unix:/run/redis.sock", "/run/redis.sock", "", 0, 0, 0, 1 },
        { "unix:/r@b:c", "/r@b:c", "", 0, 0, 0, 1 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pinaud_url_read(cases[i].text, strlen(cases[i].text),
                                         &url, error),
                         0);
        assert_string_equal(url.host, cases[i].host);
        assert_string_equal(url.user, cases[i].user);
        assert_int_equal(url.port, cases[i].port);
        assert_int_equal(url.db, cases[i].db);
        assert_int_equal(url.tls, cases[i].tls);
        assert_int_equal(url.unix_socket, cases[i].unix_socket);
    }
}


static void
refuses(void **state)
{
    char          error[PINAUD_URL_ERROR];
    size_t        i;
    pinaud_url_t  url;

    static const struct {
        const char  *text;
        const char  *reason;
    } cases[] = {
        { "", FORM },
        { "redis", FORM },
        { "redis:/h", FORM },
        { "REDIS://h", FORM },
        { "http://h", FORM },
        { "127.0.0.1:6379", FORM },
        { "redis://", HOST_LEN },
        { "redis://:6379", HOST_LEN },
        { "redis:///1", HOST_LEN },
        { "redis://u@", HOST_LEN },
        { "redis://@h", USER },
        { "redis://a@b@h", USER },
        { "redis://a%40b@h", USER },
        { "redis://a/b@h", USER },
        { "redis://u:hunter2@h", PASSWORD },
        { "redis://:hunter2@h", PASSWORD },
        { "redis://:@h", PASSWORD },
        { "redis://u:hun/ter@2@h/1", PASSWORD },
        { "rediss://u:hunter2@[::1]:1/1", PASSWORD },
        { "redis://h:", PORT },
        { "redis://h:0", PORT },
        { "redis://h:65536", PORT },
        { "redis://h:x", PORT },
        { "redis://h:-1", PORT },
        { "redis://h:6379x", PORT },
        { "redis://h:1234567890", PORT },
        { "redis://h/x", DB },
        { "redis://h/-1", DB },
        { "redis://h/1/2", DB },
        { "redis://h/1?a=b", DB },
        { "redis://h/9999999999", DB },
        { "redis://::1", "an IPv6 address in the URL goes in brackets" },
        { "redis://2001:db8::7:6379",
          "an IPv6 address in the URL goes in brackets" },
        { "redis://[::1", BRACKETS },
        { "redis://[]", BRACKETS },
        { "redis://[127.0.0.1]", BRACKETS },
        { "redis://[h]", BRACKETS },
        { "redis://[::1]6379", PORT },
        { "redis://[::1]:", PORT },
        { "redis://h?x", HOST },
        { "redis://h#x", HOST },
        { "redis://h h", SPACES },
        { "redis://h\n", SPACES },
        { "redis://h\t", SPACES },
        { "redis://h\x7f", SPACES },
        { "redis://h\xc3\xa9", HOST },
        { "unix:", "the path of a unix socket begins with a slash" },
        { "unix:/", "the path of a unix socket begins with a slash" },
        { "unix:r.sock", "the path of a unix socket begins with a slash" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pinaud_url_read(cases[i].text, strlen(cases[i].text),
                                         &url, error),
                         -1);
        assert_string_equal(error, cases[i].reason);
        assert_null(strstr(error, "hunter"));
    }

    assert_int_equal(pinaud_url_read("redis://h\0x", 11, &url, error), -1);
    assert_string_equal(error, SPACES);
}


/* Each part at its longest, and one more. */

static void
longest(void **state)
{
    int           n;
    char          error[PINAUD_URL_ERROR], text[1024];
    pinaud_url_t  url;

    (void) state;

    n = sprintf(text, "redis://%0255d", 7);
    assert_int_equal(pinaud_url_read(text, (size_t) n, &url, error), 0);
    assert_int_equal(strlen(url.host), 255);

    n = sprintf(text, "redis://%0256d", 7);
    assert_int_equal(pinaud_url_read(text, (size_t) n, &url, error), -1);
    assert_string_equal(error, HOST_LEN);

    n = sprintf(text, "redis://%0127d@h", 7);
    assert_int_equal(pinaud_url_read(text, (size_t) n, &url, error), 0);
    assert_int_equal(strlen(url.user), 127);

    n = sprintf(text, "redis://%0128d@h", 7);
    assert_int_equal(pinaud_url_read(text, (size_t) n, &url, error), -1);
    assert_string_equal(error, USER);

    n = sprintf(text, "redis://[%0256d]", 7);
    assert_int_equal(pinaud_url_read(text, (size_t) n, &url, error), -1);
    assert_string_equal(error, BRACKETS);

    n = sprintf(text, "unix:/%0106d", 7);
    assert_int_equal(pinaud_url_read(text, (size_t) n, &url, error), 0);
    assert_int_equal(strlen(url.host), 107);

    n = sprintf(text, "unix:/%0107d", 7);
    assert_int_equal(pinaud_url_read(text, (size_t) n, &url, error), -1);
    assert_string_equal(error, "the path of a unix socket is too long");
}


/* Whose password it is, and none of what is one to somebody only. */

static void
passwords(void **state)
{
    char    text[PINAUD_PASSWORD_MAX + 3];
    size_t  i;

    static const struct {
        const char  *bytes;
        size_t       len;
        size_t       password;
    } cases[] = {
        { "pw", 2, 2 },
        { "pw\n", 3, 2 },
        { "pw\r\n", 4, 2 },
        { " p w ", 5, 5 },
        { "p\xc3\xa4\n", 4, 3 },
        { "", 0, 0 },
        { "\n", 1, 0 },
        { "\r\n", 2, 0 },
        { "pw\n\n", 4, 0 },
        { "pw\r", 3, 0 },
        { "p\nw", 3, 0 },
        { "p\0w", 3, 0 },
        { "p\x7fw", 3, 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pinaud_password(cases[i].bytes, cases[i].len),
                         cases[i].password);
    }

    memset(text, 'x', sizeof(text));
    memcpy(text + PINAUD_PASSWORD_MAX, "\r\n", 2);

    assert_int_equal(pinaud_password(text, PINAUD_PASSWORD_FILE),
                     PINAUD_PASSWORD_MAX);
    assert_int_equal(pinaud_password(text, PINAUD_PASSWORD_FILE + 1), 0);
    text[PINAUD_PASSWORD_MAX] = 'x';
    assert_int_equal(pinaud_password(text, PINAUD_PASSWORD_FILE), 0);
    assert_int_equal(pinaud_password(text, PINAUD_PASSWORD_MAX + 1), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(longest),
        cmocka_unit_test(passwords),
    };

    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
