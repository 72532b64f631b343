/* SPDX-License-Identifier: MIT */
#include "celery/seal.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "celery/json_write.h"
#include "celery/message.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

static const char two_keys[] = "new:0123456789abcdef,old:fedcba9876543210!";

static struct celery_seal_keys keys_of(const char *source)
{
    struct celery_seal_keys keys = {.count = 0};
    ck_assert_int_eq(celery_seal_keys_parse(text(source), &keys, NULL),
                     CELERY_OK);
    return keys;
}

static const struct {
    const char *source;
    const char *error;
} refused[] = {
    {"", "signing key 1: no id of 1 to 64 letters, digits, '.', '_' or '-'"},
    {"a", "signing key 1: no ':' behind the id"},
    {"a b:0123456789abcdef", "signing key 1: no ':' behind the id"},
    {"a:0123456789abcde", "signing key 1: a key is shorter than 16 bytes"},
    {"a:0123456789abcdef,", "signing key 2: no id of 1 to 64 letters, digits, "
                            "'.', '_' or '-'"},
    {"a:0123456789abcdef,a:0123456789abcdef",
     "signing key 2: an id stands there twice"},
};

START_TEST(reads_keys)
{
    struct celery_seal_keys keys = keys_of(two_keys);
    ck_assert_uint_eq(keys.count, 2);
    ASSERT_TEXT(keys.keys[0].id, "new");
    ASSERT_TEXT(keys.keys[1].key, "fedcba9876543210!");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct celery_error err = {.msg = ""};
        ck_assert_msg(celery_seal_keys_parse(text(refused[i].source), &keys,
                                             &err)
                          == CELERY_INVALID,
                      "case %zu", i);
        ck_assert_str_eq(err.msg, refused[i].error);
    }
}
END_TEST

START_TEST(eight_keys_and_not_nine)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_seal_keys keys;

    for (int i = 0; i < CELERY_SEAL_KEYS_MAX; i++)
        celery_buf_printf(&buf, "%sk%d:0123456789abcdef", i == 0 ? "" : ",", i);
    ck_assert_int_eq(celery_seal_keys_parse(celery_buf_str(&buf), &keys, NULL),
                     CELERY_OK);
    celery_buf_printf(&buf, ",x:0123456789abcdef");
    ck_assert_int_eq(celery_seal_keys_parse(celery_buf_str(&buf), &keys, NULL),
                     CELERY_INVALID);
}
END_TEST

static const struct celery_task_out a_task = {
    .task = "proj.add",
    .id = "i",
    .args = {"[1, 2]", 6},
    .eta_us = 1795469808274203,
    .expires_us = 1795469908274203,
    .group_index = -1,
    .retries = 1,
    .time_limit_s = 10,
    .soft_time_limit_s = 5.5,
};

struct sealed {
    struct celery_buf headers;
    struct celery_buf body;
};

static void sealed_done(struct sealed *s)
{
    celery_buf_done(&s->headers);
    celery_buf_done(&s->body);
}

static enum celery_status seal(const char *with,
                               const struct celery_task_out *task,
                               struct sealed *ret)
{
    struct celery_seal_keys keys = keys_of(with);
    enum celery_status status =
        celery_message_encode(task, &ret->headers, &ret->body, NULL);
    const struct celery_content content = {
        .type = text("application/json"),
        .body = celery_buf_str(&ret->body),
    };
    if (status == CELERY_OK)
        status =
            celery_seal_sign(&keys, &ret->headers, &content, text("q"), NULL);
    return status;
}

static enum celery_status judge(const char *with, struct celery_str headers,
                                struct celery_str body, const char *type,
                                const char *queue, enum celery_seal *ret)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_seal_keys keys = keys_of(with);
    struct celery_envelope e = {
        .content = {.type = text(type), .body = body},
    };
    ck_assert_int_eq(celery_json_parse(headers, NULL, &e.headers, NULL),
                     CELERY_OK);
    return celery_seal_verify(&keys, &e, text(queue), &arena, ret, NULL);
}

static enum celery_seal verdict(const char *with, const struct sealed *s)
{
    enum celery_seal ret = CELERY_SEAL_UNSIGNED;
    ck_assert_int_eq(judge(with, celery_buf_str(&s->headers),
                           celery_buf_str(&s->body), "application/json", "q",
                           &ret),
                     CELERY_OK);
    return ret;
}

START_TEST(keys_rotate)
{
    CLEANUP(sealed_done) struct sealed s = {0};

    ck_assert_int_eq(seal("old:fedcba9876543210!", &a_task, &s), CELERY_OK);
    ck_assert_int_eq(verdict(two_keys, &s), CELERY_SEAL_GOOD);
    ck_assert_int_eq(verdict("new:0123456789abcdef", &s), CELERY_SEAL_BAD);
    ck_assert_int_eq(verdict("old:fedcba9876543210?", &s), CELERY_SEAL_BAD);
    CLEANUP(sealed_done) struct sealed s2 = {0};
    ck_assert_int_eq(seal(two_keys, &a_task, &s2), CELERY_OK);
    ck_assert_int_eq(verdict("new:0123456789abcdef", &s2), CELERY_SEAL_GOOD);
    ck_assert_int_eq(verdict("old:fedcba9876543210!", &s2), CELERY_SEAL_BAD);
}
END_TEST

/* Replaces the first from in text by to. */
static void replaced(struct celery_buf *out, const struct celery_buf *in,
                     const char *from, const char *to)
{
    const char *at = strstr(in->data, from);
    ck_assert_msg(at != NULL, "no %s", from);
    celery_buf_append(out,
                      (struct celery_str){in->data, (size_t)(at - in->data)});
    celery_buf_printf(out, "%s%s", to, at + strlen(from));
}

static const struct {
    const char *from;
    const char *to;
    enum celery_seal verdict;
} changes[] = {
    {"\"proj.add\"", "\"proj.sub\"", CELERY_SEAL_BAD},
    {"\"id\": \"i\"", "\"id\": \"j\"", CELERY_SEAL_BAD},
    {"\"eta\": \"2026", "\"eta\": \"2027", CELERY_SEAL_BAD},
    {"\"eta\": \"2026-11-23T21:36:48.274203+00:00\"", "\"eta\": null",
     CELERY_SEAL_BAD},
    {"\"expires\": \"2026", "\"expires\": \"2027", CELERY_SEAL_BAD},
    {"\"retries\": 1", "\"retries\": 0", CELERY_SEAL_BAD},
    {"[10, 5.5]", "[11, 5.5]", CELERY_SEAL_BAD},
    {"[10, 5.5]", "[10, 5]", CELERY_SEAL_BAD},
    {"[10, 5.5]", "[null, 5.5]", CELERY_SEAL_BAD},
    {"[10, 5.5]", "null", CELERY_SEAL_BAD},
    {"\"lang\"", "\"compression\": \"zlib\", \"lang\"", CELERY_SEAL_BAD},
    {"v1:new:", "v2:new:", CELERY_SEAL_BAD},
    {"v1:new:", "v1:old:", CELERY_SEAL_BAD},
    {"v1:new:", "v1:none:", CELERY_SEAL_BAD},
    {"v1:new:", "", CELERY_SEAL_BAD},
    {"\"v1:new:", "5, \"x\": \"", CELERY_SEAL_BAD},
    {"\"v1:new:", "\"\", \"x\": \"", CELERY_SEAL_BAD},
    {"\"x-celery-c-signature\"", "\"x\"", CELERY_SEAL_UNSIGNED},
    {"\"v1:new:", "null, \"x\": \"", CELERY_SEAL_UNSIGNED},
    /* Written otherwise, it says the same. */
    {"[10, 5.5]", "[10.0, 55e-1]", CELERY_SEAL_GOOD},
    {"\"proj.add\"", "\"proj\\u002eadd\"", CELERY_SEAL_GOOD},
    {"\"lang\": \"py\"", "\"redelivered\": true", CELERY_SEAL_GOOD},
};

START_TEST(every_field_is_covered)
{
    CLEANUP(sealed_done) struct sealed s = {0};

    ck_assert_int_eq(seal(two_keys, &a_task, &s), CELERY_OK);
    ck_assert_int_eq(verdict(two_keys, &s), CELERY_SEAL_GOOD);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf changed = CELERY_BUF_INIT;
        enum celery_seal ret = CELERY_SEAL_GOOD;
        replaced(&changed, &s.headers, changes[i].from, changes[i].to);
        ck_assert_int_eq(judge(two_keys, celery_buf_str(&changed),
                               celery_buf_str(&s.body), "application/json", "q",
                               &ret),
                         CELERY_OK);
        ck_assert_msg(ret == changes[i].verdict, "change %zu: %d", i, (int)ret);
    }
}
END_TEST

START_TEST(body_type_and_queue_are_covered)
{
    CLEANUP(sealed_done) struct sealed s = {0};
    CLEANUP(celery_buf_done) struct celery_buf changed = CELERY_BUF_INIT;
    enum celery_seal ret = CELERY_SEAL_GOOD;

    ck_assert_int_eq(seal(two_keys, &a_task, &s), CELERY_OK);
    replaced(&changed, &s.body, "[1, 2]", "[1, 3]");
    struct celery_str headers = celery_buf_str(&s.headers);
    struct celery_str body = celery_buf_str(&s.body);
    ck_assert_int_eq(judge(two_keys, headers, celery_buf_str(&changed),
                           "application/json", "q", &ret),
                     CELERY_OK);
    ck_assert_int_eq(ret, CELERY_SEAL_BAD);
    ck_assert_int_eq(judge(two_keys, headers, body, "application/json", "r",
                           &ret),
                     CELERY_OK);
    ck_assert_int_eq(ret, CELERY_SEAL_BAD);
    ck_assert_int_eq(judge(two_keys, headers, body, "application/x-msgpack",
                           "q", &ret),
                     CELERY_OK);
    ck_assert_int_eq(ret, CELERY_SEAL_BAD);
}
END_TEST

/* Calculated beside this code: openssl's HMAC of the netstrings of seal.c. */
START_TEST(the_form_does_not_change)
{
    CLEANUP(sealed_done) struct sealed s = {0};
    const char *at = NULL;

    ck_assert_int_eq(seal("new:0123456789abcdef", &a_task, &s), CELERY_OK);
    at = strstr(s.headers.data, "v1:new:");
    ck_assert_ptr_nonnull(at);
    ck_assert_str_eq(
        at,
        "v1:new:"
        "066cac659cd0c38a0c8bf692b1a1d8b44e3b576cf798db60f0c6452c3ca8dec6\"}");
}
END_TEST

/* It has no headers of its own: all that decides the run is in the body. */
START_TEST(protocol_1_is_covered_too)
{
    CLEANUP(sealed_done) struct sealed s = {0};
    CLEANUP(celery_buf_done) struct celery_buf more = CELERY_BUF_INIT;
    struct celery_task_out task = a_task;
    enum celery_seal ret = CELERY_SEAL_GOOD;

    task.protocol = 1;
    ck_assert_int_eq(seal(two_keys, &task, &s), CELERY_OK);
    ck_assert_uint_eq(celery_json_count(json(s.headers.data)), 1);
    ck_assert_int_eq(verdict(two_keys, &s), CELERY_SEAL_GOOD);
    /* A header that makes protocol 2 of it. */
    celery_buf_printf(&more, "{\"task\": \"x\", %s", s.headers.data + 1);
    ck_assert_int_eq(judge(two_keys, celery_buf_str(&more),
                           celery_buf_str(&s.body), "application/json", "q",
                           &ret),
                     CELERY_OK);
    ck_assert_int_eq(ret, CELERY_SEAL_BAD);
    strstr(s.body.data, "proj.add")[0] = 'q';
    ck_assert_int_eq(verdict(two_keys, &s), CELERY_SEAL_BAD);
}
END_TEST

START_TEST(a_retry_does_not_carry_the_old_one)
{
    CLEANUP(celery_buf_done) struct celery_buf headers = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf body = CELERY_BUF_INIT;
    struct celery_task_out task = a_task;

    task.extra_headers =
        json("{\"x-celery-c-signature\": \"v1:a:b\", \"mine\": 1}");
    ck_assert_int_eq(celery_message_encode(&task, &headers, &body, NULL),
                     CELERY_OK);
    ck_assert_ptr_nonnull(strstr(headers.data, "\"mine\": 1"));
    ck_assert_ptr_null(strstr(headers.data, CELERY_SEAL_HEADER));
}
END_TEST

START_TEST(survives_out_of_memory)
{
    CLEANUP(sealed_done) struct sealed s = {0};
    struct celery_seal_keys keys = keys_of(two_keys);
    enum celery_status status = CELERY_OK;
    enum celery_seal ret = CELERY_SEAL_BAD;

    ck_assert_int_eq(seal(two_keys, &a_task, &s), CELERY_OK);
    const struct celery_envelope e = {
        .content = {.type = text("application/json"),
                    .body = celery_buf_str(&s.body)},
        .headers = json(s.headers.data),
    };
    OOM_LOOP(status, {
        struct celery_buf buf = CELERY_BUF_INIT;
        celery_buf_append(&buf, text("{\"task\": \"\\u0041\"}"));
        status = celery_buf_status(&buf);
        if (status == CELERY_OK)
            status = celery_seal_sign(&keys, &buf, &e.content, text("q"), NULL);
        celery_buf_done(&buf);
    });
    OOM_LOOP(status, {
        struct celery_arena arena = CELERY_ARENA_INIT;
        status = celery_seal_verify(&keys, &e, text("q"), &arena, &ret, NULL);
        celery_arena_done(&arena);
    });
    ck_assert_int_eq(ret, CELERY_SEAL_GOOD);
}
END_TEST

UNIT_MAIN("seal", reads_keys, eight_keys_and_not_nine, keys_rotate,
          every_field_is_covered, body_type_and_queue_are_covered,
          the_form_does_not_change, protocol_1_is_covered_too,
          a_retry_does_not_carry_the_old_one, survives_out_of_memory)
