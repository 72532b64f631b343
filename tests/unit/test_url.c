/* SPDX-License-Identifier: MIT */
#include "base/url.h"

#include <stdint.h>
#include <string.h>

#include "base/backoff.h"
#include "base/cleanup.h"
#include "support/unit.h"

#define LENGTH(a) (sizeof(a) / sizeof(a)[0])

static void check_part(const char *url, const char *got, const char *wanted)
{
    ck_assert_msg((got == NULL) == (wanted == NULL)
                      && (got == NULL || strcmp(got, wanted) == 0),
                  "%s: got %s, wanted %s", url, got != NULL ? got : "NULL",
                  wanted != NULL ? wanted : "NULL");
}

START_TEST(parts)
{
    static const struct {
        const char *text;
        struct {
            const char *scheme, *user, *password, *host;
            int port;
            const char *path, *query;
        } want;
    } cases[] = {
        {"redis://", {"redis", NULL, NULL, NULL, 0, "", NULL}},
        {"REDIS://h", {"redis", NULL, NULL, "h", 0, "", NULL}},
        {"redis://h:1/0", {"redis", NULL, NULL, "h", 1, "/0", NULL}},
        {"redis://:p@h", {"redis", NULL, "p", "h", 0, "", NULL}},
        {"redis://u@h", {"redis", "u", NULL, "h", 0, "", NULL}},
        {"redis://u:@h", {"redis", "u", "", "h", 0, "", NULL}},
        {"redis://u:a:b@h", {"redis", "u", "a:b", "h", 0, "", NULL}},
        {"redis://u:a@b@h", {"redis", "u", "a@b", "h", 0, "", NULL}},
        {"redis://u:a%2Fb%40@h", {"redis", "u", "a/b@", "h", 0, "", NULL}},
        {"redis://u:%zz%4@h", {"redis", "u", "%zz%4", "h", 0, "", NULL}},
        {"redis://[::1]:65535", {"redis", NULL, NULL, "::1", 65535, "", NULL}},
        {"redis://[::1]/x", {"redis", NULL, NULL, "::1", 0, "/x", NULL}},
        {"filesystem:///a%20b",
         {"filesystem", NULL, NULL, NULL, 0, "/a b", NULL}},
        {"redis+socket:///s?virtual_host=2",
         {"redis+socket", NULL, NULL, NULL, 0, "/s", "virtual_host=2"}},
        {"redis://h?", {"redis", NULL, NULL, "h", 0, "", ""}},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        CLEANUP(url_done) struct url url = {0};
        struct celery_error err;
        const char *text = cases[i].text;
        ck_assert_msg(url_parse(text, &url, &err) == CELERY_OK, "%s", text);
        check_part(text, url.scheme, cases[i].want.scheme);
        check_part(text, url.user, cases[i].want.user);
        check_part(text, url.password, cases[i].want.password);
        check_part(text, url.host, cases[i].want.host);
        ck_assert_int_eq(url.port, cases[i].want.port);
        check_part(text, url.path, cases[i].want.path);
        check_part(text, url.query, cases[i].want.query);
    }
}
END_TEST

START_TEST(what_is_no_url_is_refused)
{
    static const char *const cases[] = {
        "",
        "x",
        "redis:/h",
        "://h",
        "re dis://h",
        "redis://h:",
        "redis://h:x",
        "redis://h:65536",
        "redis://h:-1",
        "redis://h:99999999999999999999",
        "redis://[::1",
        "redis://[::1]x",
        "redis://h%00x/",
        "redis://%00@h",
        "redis://u:secret%00@h",
        "redis://h/%00",
        "redis://u:secret@h:port",
        "redis://u:se/cret@h",
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        CLEANUP(url_done) struct url url = {0};
        struct celery_error err;
        ck_assert_msg(url_parse(cases[i], &url, &err) == CELERY_INVALID, "%s",
                      cases[i]);
        ck_assert_ptr_null(url.scheme);
        ck_assert_ptr_nonnull(strstr(err.msg, "://"));
        ck_assert_ptr_null(strstr(err.msg, "secret"));
        ck_assert_ptr_null(strstr(err.msg, "cret"));
    }
}
END_TEST

START_TEST(masking_hides_every_password)
{
    static const struct {
        const char *text;
        const char *masked;
    } cases[] = {
        {"", ""},
        {"no url:at@all", "no url:at@all"},
        {"redis://h:6379/0", "redis://h:6379/0"},
        {"redis://u@h", "redis://u@h"},
        {"redis://:p@h", "redis://:********@h"},
        {"redis://u:p@h:1/0?q", "redis://u:********@h:1/0?q"},
        {"redis://u:a@b@h", "redis://u:********@h"},
        {"redis://u:a/b@h/0", "redis://u:********@h/0"},
        {"redis://u:a?b@h/0", "redis://u:********@h/0"},
        {"redis://u:/@h", "redis://u:********@h"},
        {"redis://u:a:b@h", "redis://u:********@h"},
        {"amqp://u:p@a//;amqp://u:q@b//",
         "amqp://u:********@a//;amqp://u:********@b//"},
        {"sentinel://:p@a/0;sentinel://b",
         "sentinel://:********@a/0;sentinel://b"},
        {"redis://u:a;b@h", "redis://u:********@h"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        CLEANUP(url_freep) char *masked = url_masked(cases[i].text);
        ck_assert_str_eq(masked, cases[i].masked);
    }
}
END_TEST

START_TEST(query_values)
{
    CLEANUP(url_done) struct url url = {0};
    struct celery_error err;
    ck_assert_int_eq(url_parse("a://h?aa=1&a=x%26y&b&c=&d=%00&a=2", &url, &err),
                     CELERY_OK);
    static const struct {
        const char *name;
        const char *value;
    } cases[] = {{"aa", "1"}, {"a", "x&y"}, {"b", NULL}, {"c", ""},
                 {"d", NULL}, {"e", NULL},  {"", NULL}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        CLEANUP(url_freep) char *value = url_query(&url, cases[i].name);
        check_part(cases[i].name, value, cases[i].value);
    }
}
END_TEST

START_TEST(backoff_doubles_up_to_its_cap)
{
    struct backoff backoff = {.first_us = 1000, .cap_us = 60000};
    int64_t full = 1000;
    for (int i = 0; i < 100; i++) {
        int64_t wait = backoff_next_us(&backoff);
        ck_assert_int_le(wait, full);
        ck_assert_int_gt(wait, full - full / 4);
        full = full * 2 < 60000 ? full * 2 : 60000;
    }
    backoff_reset(&backoff);
    ck_assert_int_le(backoff_next_us(&backoff), 1000);

    struct backoff tiny = {.first_us = 0, .cap_us = 3};
    ck_assert_int_eq(backoff_next_us(&tiny), 0);
    struct backoff above = {.first_us = 100, .cap_us = 2};
    ck_assert_int_eq(backoff_next_us(&above), 2);
    struct backoff worn = {1, INT64_MAX / 4, UINT32_MAX};
    ck_assert_int_gt(backoff_next_us(&worn), 0);
}
END_TEST

START_TEST(masks_secrets_of_the_query_too)
{
    static const char *const pairs[][2] = {
        {"postgresql://h/d?user=u&password=hidden&x=1",
         "postgresql://h/d?user=u&password=********&x=1"},
        {"postgresql://h/d?sslpassword=hidden",
         "postgresql://h/d?sslpassword=********"},
        {"postgresql://u:hidden@h/d?password=hidden",
         "postgresql://u:********@h/d?password=********"},
        {"redis://h/0?nopassword=shown", "redis://h/0?nopassword=shown"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char *masked = url_masked(pairs[i][0]);
        ck_assert_str_eq(masked, pairs[i][1]);
        free(masked);
    }
}
END_TEST

UNIT_MAIN("url", masks_secrets_of_the_query_too, parts,
          what_is_no_url_is_refused, masking_hides_every_password, query_values,
          backoff_doubles_up_to_its_cap)
