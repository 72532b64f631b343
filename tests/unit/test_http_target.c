/* SPDX-License-Identifier: MIT */
#include "http/target.h"

#include <string.h>

#include "support/unit.h"

#define CASE(s) (s), sizeof(s) - 1

static struct celery_str str(const char *text)
{
    return (struct celery_str){text, strlen(text)};
}

START_TEST(takes_one_form_of_a_path)
{
    static const struct {
        const char *target;
        const char *path;  /* decoded */
        const char *query; /* NULL: none */
    } cases[] = {
        {"/", "/", NULL},
        {"/a/b", "/a/b", NULL},
        {"/a/b/", "/a/b/", NULL},
        {"/a?", "/a", ""},
        {"/a?b=/../c?d%00", "/a", "b=/../c?d%00"},
        {"/a%20b%7E%c3%a4", "/a b~\xc3\xa4", NULL},
        {"/a%252fb", "/a%2fb", NULL},
        {"/...", "/...", NULL},
        {"/.a/b.", "/.a/b.", NULL},
        {"*", "*", NULL},
        /* E17: absolute-form */
        {"http://host/health", "/health", NULL},
        {"HTTPS://host:1/a?b", "/a", "b"},
        {"http://host", "/", NULL},
        {"http://host?x=1", "/", "x=1"},
        {"http://[::1]:80/a", "/a", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_target target;
        struct http_refusal refusal = {0};
        char path[64];
        ck_assert_msg(http_target_parse(str(cases[i].target), &target,
                                        &refusal),
                      "%s: %s", cases[i].target, refusal.text);
        http_target_decode(target.path, path);
        ck_assert_str_eq(path, cases[i].path);
        if (cases[i].query == NULL) {
            ck_assert_ptr_null(target.query.data);
        } else {
            ck_assert_uint_eq(target.query.len, strlen(cases[i].query));
            ck_assert_int_eq(
                memcmp(target.query.data, cases[i].query, target.query.len), 0);
        }
    }
}
END_TEST

/* E19, E20 */
START_TEST(refuses_second_forms)
{
    static const struct {
        const char *target;
        size_t size;
        const char *word; /* of the sentence */
    } cases[] = {
        {CASE("/a%00x"), "control"},
        {CASE("/a%0ax"), "control"},
        {CASE("/a%1fx"), "control"},
        {CASE("/a%7fx"), "control"},
        {CASE("/metrics%2f"), "slash"},
        {CASE("/metrics%2F"), "slash"},
        {CASE("/metrics\\"), "backslash"},
        {CASE("/metrics%5c"), "backslash"},
        {CASE("/x\\..\\metrics"), "backslash"},
        {CASE("/x/../metrics"), "dot segment"},
        {CASE("/x/%2e%2E/metrics"), "dot segment"},
        {CASE("/x/.%2e"), "dot segment"},
        {CASE("/./metrics"), "dot segment"},
        {CASE("/metrics/."), "dot segment"},
        {CASE("//metrics"), "empty segment"},
        {CASE("/a//b"), "empty segment"},
        {CASE("/a//"), "empty segment"},
        {CASE("/a%"), "encodes nothing"},
        {CASE("/a%4"), "encodes nothing"},
        {CASE("/a%zz"), "encodes nothing"},
        {CASE("/a%-1"), "encodes nothing"},
        {CASE("/a#b"), "fragment"},
        {CASE(""), "no target"},
        {CASE("a"), "no path"},
        {CASE("**"), "no path"},
        {CASE("http://"), "no path"},
        {CASE("http:///a"), "host"},
        {CASE("http://a#b/c"), "host"},
        {CASE("http://a@b/c"), "host"},
        {CASE("http://a b/c"), "host"},
        {CASE("http://?"), "host"},
        {CASE("ftp://host/a"), "no path"},
        {CASE("host:80"), "no path"},
        {CASE("http://host/x/../metrics"), "dot segment"},
        {CASE("http://host\\a/b#"), "host"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_target target;
        struct http_refusal refusal = {0};
        struct celery_str text = {cases[i].target, cases[i].size};
        ck_assert_msg(!http_target_parse(text, &target, &refusal), "%s",
                      cases[i].target);
        ck_assert_int_eq(refusal.status, 400);
        ck_assert_msg(strstr(refusal.text, cases[i].word) != NULL, "%s: %s",
                      cases[i].target, refusal.text);
    }
}
END_TEST

UNIT_MAIN("http_target", takes_one_form_of_a_path, refuses_second_forms)
