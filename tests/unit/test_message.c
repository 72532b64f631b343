/* SPDX-License-Identifier: MIT */
#include "celery/message.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "support/oom.h"
#include "support/text.h"
#include "support/unit.h"

enum { BOTH = CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK };

static struct celery_envelope envelope(const char *headers, const char *body)
{
    struct celery_envelope e = {
        .content = {.type = text("application/json"), .body = text(body)},
        .routing_key = text("q"),
        .reply_to = text("r"),
        .correlation_id = text("c"),
        .priority = 4,
    };

    if (headers != NULL)
        e.headers = json(headers);
    return e;
}

static const char all[] =
    "{\"lang\": \"py\", \"task\": \"proj.add\", \"id\": \"i\", \"shadow\": "
    "\"s\", \"eta\": \"2026-11-23T21:36:48.274203+00:00\", \"expires\": "
    "\"2026-11-23T23:36:48Z\", \"group\": \"g\", \"group_index\": 3, "
    "\"retries\": 2, \"timelimit\": [10, 5.5], \"root_id\": \"ro\", "
    "\"parent_id\": \"pa\", \"argsrepr\": \"(1,)\", \"kwargsrepr\": \"{}\", "
    "\"origin\": \"gen1@h\", \"ignore_result\": true, "
    "\"replaced_task_nesting\": 1, \"stamped_headers\": [\"st\"], "
    "\"stamps\": {\"st\": [7], \"other\": 8}, \"mine\": {\"x\": 1.0}}";

START_TEST(reads_every_header)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_message m;
    struct celery_envelope e = envelope(
        all, "[[1.50, 2], {\"k\": 12345678901234567890123}, {\"callbacks\": "
             "[{}], \"errbacks\": null, \"chain\": [1], \"chord\": {}}]");

    ck_assert_int_eq(celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL),
                     CELERY_OK);
    ck_assert_int_eq(m.protocol, 2);
    ASSERT_TEXT(m.task, "proj.add");
    ASSERT_TEXT(m.id, "i");
    ASSERT_TEXT(m.shadow, "s");
    ASSERT_TEXT(m.root_id, "ro");
    ASSERT_TEXT(m.parent_id, "pa");
    ASSERT_TEXT(m.group, "g");
    ASSERT_TEXT(m.argsrepr, "(1,)");
    ASSERT_TEXT(m.kwargsrepr, "{}");
    ASSERT_TEXT(m.origin, "gen1@h");
    ASSERT_TEXT(m.reply_to, "r");
    ASSERT_TEXT(m.correlation_id, "c");
    ASSERT_TEXT(m.eta_text, "2026-11-23T21:36:48.274203+00:00");
    ck_assert_int_eq(m.eta_us, 1795469808274203);
    ck_assert_int_eq(m.expires_us, 1795477008000000);
    ck_assert_int_eq(m.group_index, 3);
    ck_assert_int_eq(m.retries, 2);
    ck_assert_int_eq(m.replaced_task_nesting, 1);
    ck_assert_double_eq_tol(m.time_limit_s, 10, 1e-6);
    ck_assert_double_eq_tol(m.soft_time_limit_s, 5.5, 1e-6);
    ck_assert_int_eq(m.ignore_result, CELERY_IGNORE_RESULT_YES);
    ASSERT_TEXT(m.args.text, "[1.50, 2]");
    ASSERT_TEXT(m.kwargs.text, "{\"k\": 12345678901234567890123}");
    ASSERT_TEXT(m.callbacks.text, "[{}]");
    ck_assert_int_eq(m.errbacks.type, CELERY_JSON_NONE);
    ASSERT_TEXT(m.chain.text, "[1]");
    ASSERT_TEXT(m.chord.text, "{}");
    ASSERT_TEXT(m.stamped_headers.text, "[\"st\"]");
    ASSERT_TEXT(celery_json_get(m.headers, "mine").text, "{\"x\": 1.0}");
}
END_TEST

START_TEST(the_least_is_enough)
{
    static const char *const bodies[] = {
        "[[], {}, {}]",
        "[[], {}, null]",
    };

    for (size_t i = 0; i < 2; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_message m;
        struct celery_envelope e =
            envelope("{\"task\": \"t\", \"id\": \"i\"}", bodies[i]);

        ck_assert_int_eq(
            celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL), CELERY_OK);
        ck_assert_int_eq(m.eta_us, CELERY_TIME_NONE);
        ck_assert_int_eq(m.group_index, -1);
        ck_assert_int_eq(m.ignore_result, CELERY_IGNORE_RESULT_UNSET);
        ck_assert_int_eq(m.chord.type, CELERY_JSON_NONE);
    }
}
END_TEST

static const struct {
    const char *header;
    const char *value;
    enum celery_status status;
} headers[] = {
    {"eta", "null", CELERY_OK},
    {"eta", "\"1970-01-01T00:00:00Z\"", CELERY_OK},
    {"eta", "12", CELERY_MALFORMED},
    {"eta", "\"\"", CELERY_MALFORMED},
    {"eta", "\"tomorrow\"", CELERY_MALFORMED},
    {"expires", "1.5", CELERY_MALFORMED},
    {"expires", "false", CELERY_MALFORMED},
    {"retries", "null", CELERY_OK},
    {"retries", "\"1\"", CELERY_MALFORMED},
    {"retries", "1e1", CELERY_MALFORMED},
    {"timelimit", "null", CELERY_OK},
    {"timelimit", "[]", CELERY_OK},
    {"timelimit", "[null, 5]", CELERY_OK},
    {"timelimit", "[5]", CELERY_MALFORMED},
    {"timelimit", "[1, 2, 3]", CELERY_MALFORMED},
    {"timelimit", "[\"5\", null]", CELERY_MALFORMED},
    {"timelimit", "[NaN, null]", CELERY_MALFORMED},
    {"timelimit", "5", CELERY_MALFORMED},
    {"timelimit", "{}", CELERY_MALFORMED},
    {"group_index", "\"x\"", CELERY_MALFORMED},
    {"group", "7", CELERY_MALFORMED},
    {"root_id", "[]", CELERY_MALFORMED},
    {"shadow", "7", CELERY_OK},
    {"argsrepr", "[]", CELERY_OK},
    {"origin", "{}", CELERY_OK},
    {"ignore_result", "null", CELERY_OK},
    {"stamps", "null", CELERY_OK},
    {"stamped_headers", "7", CELERY_OK},
};

START_TEST(tells_broken_headers)
{
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_message m;
        struct celery_error err = {.msg = ""};
        char source[200];

        (void)snprintf(source, sizeof source,
                       "{\"task\": \"t\", \"id\": \"i\", \"%s\": %s}",
                       headers[i].header, headers[i].value);
        struct celery_envelope e = envelope(source, "[[], {}, {}]");
        ck_assert_msg(celery_message_decode(&e, BOTH, NULL, &arena, &m, &err)
                          == headers[i].status,
                      "%s: %s", source, err.msg);
        ASSERT_TEXT(m.id, "i");
        ASSERT_TEXT(m.task, "t");
        if (headers[i].status != CELERY_OK)
            ck_assert_ptr_nonnull(strstr(err.msg, headers[i].header));
    }
}
END_TEST

/* Midnight of 1970 is a time that is set. */
START_TEST(the_epoch_is_no_absence)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_message m;
    struct celery_envelope e =
        envelope("{\"task\": \"t\", \"id\": \"i\", \"expires\": "
                 "\"1970-01-01T00:00:00+00:00\"}",
                 "[[], {}, {}]");

    ck_assert_int_eq(celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL),
                     CELERY_OK);
    ck_assert_int_ne(m.expires_us, CELERY_TIME_NONE);
}
END_TEST

static const struct {
    const char *headers; /* NULL: none */
    const char *body;
    enum celery_status status;
    const char *task;
    const char *id;
} broken[] = {
    {"{\"task\": \"t\"}", "[[], {}, {}]", CELERY_MALFORMED, "t", ""},
    {"{\"task\": \"t\", \"id\": null}", "[[], {}, {}]", CELERY_MALFORMED, "t",
     ""},
    {"{\"task\": \"t\", \"id\": \"\"}", "[[], {}, {}]", CELERY_MALFORMED, "t",
     ""},
    {"{\"task\": \"t\", \"id\": 5}", "[[], {}, {}]", CELERY_MALFORMED, "t", ""},
    {"{\"task\": null, \"id\": \"i\"}", "[[], {}, {}]", CELERY_MALFORMED, "",
     "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "[[], {}]", CELERY_MALFORMED, "t",
     "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "[[], {}, {}, 1]", CELERY_MALFORMED,
     "t", "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "[{}, {}, {}]", CELERY_MALFORMED, "t",
     "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "[[], [], {}]", CELERY_MALFORMED, "t",
     "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "[[], null, {}]", CELERY_MALFORMED,
     "t", "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "[[], {}, 7]", CELERY_MALFORMED, "t",
     "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "[[], {}, {\"chain\": {}}]",
     CELERY_MALFORMED, "t", "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "[[], {}, {\"chord\": []}]",
     CELERY_MALFORMED, "t", "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "{}", CELERY_MALFORMED, "t", "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "7", CELERY_MALFORMED, "t", "i"},
    {"{\"task\": \"t\", \"id\": \"i\"}", "nonsense", CELERY_MALFORMED, "t",
     "i"},
    {"{}", "[[], {}, {}]", CELERY_UNSUPPORTED, "", ""},
    {NULL, "[[], {}, {}]", CELERY_UNSUPPORTED, "", ""},
    {"{}", "{\"id\": \"i\"}", CELERY_UNSUPPORTED, "", ""},
    {"{}", "{\"task\": \"t\"}", CELERY_MALFORMED, "t", ""},
    {"{}", "{\"task\": \"t\", \"id\": \"i\", \"args\": null}", CELERY_MALFORMED,
     "t", "i"},
    {"{}", "{\"task\": \"t\", \"id\": \"i\", \"kwargs\": []}", CELERY_MALFORMED,
     "t", "i"},
};

START_TEST(broken_messages_keep_their_names)
{
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_message m;
        struct celery_error err = {.msg = ""};
        struct celery_envelope e = envelope(broken[i].headers, broken[i].body);

        ck_assert_msg(celery_message_decode(&e, BOTH, NULL, &arena, &m, &err)
                          == broken[i].status,
                      "case %zu: %s", i, err.msg);
        ck_assert(err.msg[0] != '\0');
        ASSERT_TEXT(m.task, broken[i].task);
        ASSERT_TEXT(m.id, broken[i].id);
        ck_assert_int_eq(m.args.type, CELERY_JSON_NONE);
    }
}
END_TEST

START_TEST(pickle_is_refused_by_name)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_message m;
    struct celery_error err = {.msg = ""};
    struct celery_envelope e =
        envelope("{\"task\": \"t\", \"id\": \"i\"}", "\x80\x04N.");

    e.content.type = text("application/x-python-serialize");
    ck_assert_int_eq(celery_message_decode(&e, BOTH, NULL, &arena, &m, &err),
                     CELERY_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.msg, "application/x-python-serialize"));
    ASSERT_TEXT(m.id, "i");
}
END_TEST

START_TEST(reads_protocol_1)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_message m;
    struct celery_envelope e = envelope(
        "{}", "{\"task\": \"t\", \"id\": \"i\", \"args\": [2], \"retries\": 1, "
              "\"group\": \"g\", \"taskset\": \"ts\", \"utc\": true, \"eta\": "
              "\"2026-11-23T21:36:48.274203+00:00\", \"timelimit\": [null, 3], "
              "\"callbacks\": [1], \"chain\": [2], \"chord\": {\"task\": "
              "\"x\"}}");

    ck_assert_int_eq(celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL),
                     CELERY_OK);
    ck_assert_int_eq(m.protocol, 1);
    ASSERT_TEXT(m.group, "ts");
    ASSERT_TEXT(m.args.text, "[2]");
    ASSERT_TEXT(m.kwargs.text, "{}");
    ck_assert_int_eq(m.retries, 1);
    ck_assert_int_eq(m.eta_us, 1795469808274203);
    ck_assert_double_eq_tol(m.soft_time_limit_s, 3, 1e-6);
    ASSERT_TEXT(m.callbacks.text, "[1]");
    ASSERT_TEXT(m.chord.text, "{\"task\": \"x\"}");
    ck_assert_int_eq(m.chain.type, CELERY_JSON_NONE);

    /* taskset wins by being there, even as null. */
    e.content.body = text("{\"task\": \"t\", \"id\": \"i\", \"group\": \"g\", "
                          "\"taskset\": null}");
    ck_assert_int_eq(celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL),
                     CELERY_OK);
    ASSERT_TEXT(m.group, "");
    e.content.body = text("{\"task\": \"t\", \"id\": \"i\", \"group\": \"g\"}");
    ck_assert_int_eq(celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL),
                     CELERY_OK);
    ASSERT_TEXT(m.group, "g");
}
END_TEST

START_TEST(headers_win_in_a_hybrid)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_message m;
    struct celery_envelope e =
        envelope("{\"task\": \"t\", \"id\": \"i\", \"retries\": 5}",
                 "{\"task\": \"other\", \"args\": [1], \"kwargs\": {\"a\": 2}, "
                 "\"retries\": 1, \"group\": \"g\", \"errbacks\": [3]}");

    ck_assert_int_eq(celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL),
                     CELERY_OK);
    ck_assert_int_eq(m.protocol, 2);
    ASSERT_TEXT(m.task, "t");
    ck_assert_int_eq(m.retries, 5);
    ASSERT_TEXT(m.group, "g");
    ASSERT_TEXT(m.args.text, "[1]");
    ASSERT_TEXT(m.kwargs.text, "{\"a\": 2}");
    ASSERT_TEXT(m.errbacks.text, "[3]");
}
END_TEST

START_TEST(writes_19_headers_in_pythons_order)
{
    CLEANUP(celery_buf_done) struct celery_buf head = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf body = CELERY_BUF_INIT;
    struct celery_task_out task = {
        .task = "proj.add",
        .id = "i",
        .args = text("[1, \"a\"]"),
        .origin = "gen1@h",
        .group_index = -1,
        .ignore_result = CELERY_IGNORE_RESULT_NO,
    };

    ck_assert_int_eq(celery_message_encode(&task, &head, &body, NULL),
                     CELERY_OK);
    ASSERT_BUF(&head,
               "{\"lang\": \"py\", \"task\": \"proj.add\", \"id\": \"i\", "
               "\"shadow\": null, \"eta\": null, \"expires\": null, \"group\": "
               "null, \"group_index\": null, \"retries\": 0, \"timelimit\": "
               "[null, null], \"root_id\": \"i\", \"parent_id\": null, "
               "\"argsrepr\": \"(1, 'a')\", \"kwargsrepr\": \"{}\", "
               "\"origin\": \"gen1@h\", \"ignore_result\": false, "
               "\"replaced_task_nesting\": 0, \"stamped_headers\": null, "
               "\"stamps\": {}}");
    ASSERT_BUF(&body,
               "[[1, \"a\"], {}, {\"callbacks\": null, \"errbacks\": null, "
               "\"chain\": null, \"chord\": null}]");
}
END_TEST

START_TEST(writes_every_option)
{
    CLEANUP(celery_buf_done) struct celery_buf head = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf body = CELERY_BUF_INIT;
    struct celery_task_out task = {
        .task = "t",
        .id = "i",
        .kwargs = text("{\"k\": 1.50}"),
        .root_id = "ro",
        .parent_id = "pa",
        .group = "g",
        .shadow = "s",
        .eta_us = 1795469808274203,
        .expires_us = 1795469809000000,
        .group_index = 0,
        .retries = 2,
        .replaced_task_nesting = 1,
        .time_limit_s = 10,
        .soft_time_limit_s = 5.5,
        .callbacks = text("[1]"),
        .errbacks = text("[2]"),
        .chain = text("[3]"),
        .chord = text("{}"),
        .stamped_headers = text("[\"x\"]"),
        .stamps = text("{\"x\": 1}"),
        .extra_headers = json("{\"retries\": 9, \"mine\": 1, \"x-death\": [], "
                              "\"compression\": \"x\", \"\\u0069d\": \"j\"}"),
        .compression = "gzip",
    };

    ck_assert_int_eq(celery_message_encode(&task, &head, &body, NULL),
                     CELERY_OK);
    ASSERT_BUF(&head,
               "{\"lang\": \"py\", \"task\": \"t\", \"id\": \"i\", \"shadow\": "
               "\"s\", \"eta\": \"2026-11-23T21:36:48.274203+00:00\", "
               "\"expires\": \"2026-11-23T21:36:49.000000+00:00\", \"group\": "
               "\"g\", \"group_index\": 0, \"retries\": 2, \"timelimit\": [10, "
               "5.5], \"root_id\": \"ro\", \"parent_id\": \"pa\", "
               "\"argsrepr\": \"()\", \"kwargsrepr\": \"{'k': 1.5}\", "
               "\"origin\": null, \"ignore_result\": null, "
               "\"replaced_task_nesting\": 1, \"stamped_headers\": [\"x\"], "
               "\"stamps\": {\"x\": 1}, \"mine\": 1, \"compression\": "
               "\"application/x-gzip\"}");
    ck_assert_uint_eq((unsigned char)body.data[0], 0x78);
}
END_TEST

START_TEST(refuses_what_would_be_no_message)
{
    const struct celery_task_out good = {.task = "t",
                                         .id = "i",
                                         .group_index = -1};
    struct celery_task_out bad[] = {good, good, good, good, good, good};

    bad[0].task = NULL;
    bad[1].id = "";
    bad[2].args = text("{}");
    bad[3].kwargs = text("null");
    bad[4].chain = text("[1");
    bad[5].chord = text("[]");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;

        ck_assert_int_eq(celery_message_encode_envelope(&bad[i], "d", &buf,
                                                        NULL),
                         CELERY_INVALID);
        ck_assert_uint_eq(buf.len, 0);
    }
    struct celery_task_out unknown = good;
    unknown.compression = "snappy";
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    ck_assert_int_eq(celery_message_encode_envelope(&unknown, "d", &buf, NULL),
                     CELERY_UNSUPPORTED);
}
END_TEST

START_TEST(retries_as_python_does)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    CLEANUP(celery_buf_done) struct celery_buf head = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf body = CELERY_BUF_INIT;
    struct celery_message m;
    struct celery_task_out out;
    struct celery_envelope e =
        envelope(all, "[[1], {}, {\"callbacks\": [{}], \"chain\": [1]}]");

    ck_assert_int_eq(celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL),
                     CELERY_OK);
    ck_assert_int_eq(celery_message_retry(&m, &e, &arena, &out), CELERY_OK);
    ck_assert_int_eq(out.retries, 2);
    ck_assert_int_eq(out.eta_us, CELERY_TIME_NONE);
    ck_assert_str_eq(out.routing_key, "q");
    ck_assert_ptr_null(out.exchange);
    ck_assert_str_eq(out.reply_to, "r");
    ck_assert_ptr_null(out.correlation_id);
    ck_assert_str_eq(out.parent_id, "pa");
    ck_assert_int_eq(out.priority, 4);
    out.retries++;
    ck_assert_int_eq(celery_message_encode(&out, &head, &body, NULL),
                     CELERY_OK);
    ASSERT_BUF(&head,
               "{\"lang\": \"py\", \"task\": \"proj.add\", \"id\": \"i\", "
               "\"shadow\": \"s\", \"eta\": null, \"expires\": "
               "\"2026-11-23T23:36:48.000000+00:00\", \"group\": \"g\", "
               "\"group_index\": 3, \"retries\": 3, \"timelimit\": [10, 5.5], "
               "\"root_id\": \"ro\", \"parent_id\": \"pa\", \"argsrepr\": "
               "\"(1,)\", \"kwargsrepr\": \"{}\", \"origin\": \"gen1@h\", "
               "\"ignore_result\": true, \"replaced_task_nesting\": 1, "
               "\"stamped_headers\": [\"st\"], \"stamps\": {\"st\": [7]}, "
               "\"mine\": {\"x\": 1.0}}");
    ASSERT_BUF(&body,
               "[[1], {}, {\"callbacks\": [{}], \"errbacks\": null, \"chain\": "
               "[1], \"chord\": null}]");
}
END_TEST

/* What Python sets when it publishes from within a task. */
START_TEST(an_unset_parent_becomes_the_task)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_message m;
    struct celery_task_out out;
    struct celery_envelope e =
        envelope("{\"task\": \"t\", \"id\": \"i\"}", "[[], {}, {}]");

    ck_assert_int_eq(celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL),
                     CELERY_OK);
    ck_assert_int_eq(celery_message_retry(&m, &e, &arena, &out), CELERY_OK);
    ck_assert_str_eq(out.parent_id, "i");
}
END_TEST

/* However a name is spelled, and whatever else the list holds. */
START_TEST(a_retry_keeps_the_stamps_that_are_named)
{
    static const struct {
        const char *names;
        const char *stamps;
        const char *kept;
    } rows[] = {
        {"[\"a\"]", "{\"\\u0061\": 1, \"b\": 2}", "{\"\\u0061\": 1}"},
        {"[\"\\u0061\"]", "{\"a\": 1, \"b\": 2}", "{\"a\": 1}"},
        {"[\"\\u00e9\"]", "{\"\xc3\xa9\": 1}", "{\"\xc3\xa9\": 1}"},
        {"[1, null, [\"a\"], \"b\"]", "{\"1\": 1, \"a\": 2, \"b\": 3}",
         "{\"b\": 3}"},
        {"[]", "{\"a\": 1}", "{}"},
        {"[\"a\", \"b\"]", "{\"b\": 1}", "{\"b\": 1}"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        char head[200];
        struct celery_message m;
        struct celery_task_out out;
        (void)snprintf(head, sizeof head,
                       "{\"task\": \"t\", \"id\": \"i\", "
                       "\"stamped_headers\": %s, \"stamps\": %s}",
                       rows[i].names, rows[i].stamps);
        struct celery_envelope e = envelope(head, "[[], {}, {}]");

        ck_assert_int_eq(
            celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL), CELERY_OK);
        ck_assert_int_eq(celery_message_retry(&m, &e, &arena, &out), CELERY_OK);
        ASSERT_TEXT(out.stamps, rows[i].kept);
        ASSERT_TEXT(out.stamped_headers, rows[i].names);
    }
}
END_TEST

START_TEST(a_group_index_is_any_number_but_the_mark)
{
    static const struct {
        int64_t index;
        const char *written;
    } rows[] = {
        {-1, "\"group_index\": null, "},
        {-3, "\"group_index\": -3, "},
        {0, "\"group_index\": 0, "},
        {INT64_MIN, "\"group_index\": -9223372036854775808, "},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf head = CELERY_BUF_INIT;
        CLEANUP(celery_buf_done) struct celery_buf body = CELERY_BUF_INIT;
        const struct celery_task_out task = {
            .task = "t",
            .id = "i",
            .group_index = rows[i].index,
        };

        ck_assert_int_eq(celery_message_encode(&task, &head, &body, NULL),
                         CELERY_OK);
        ck_assert_msg(strstr(head.data, rows[i].written) != NULL, "%s",
                      head.data);
    }
}
END_TEST

/* Python: str(int(seconds * 1000)), 0 when it is too late. */
START_TEST(expiration_is_what_is_left)
{
    static const struct {
        int64_t expires_us;
        int64_t now_us;
        const char *text; /* NULL: none */
    } rows[] = {
        {0, 5, NULL},
        {5, 0, NULL},
        {1000000030000000, 1000000000000000, "30000"},
        {1000000000001999, 1000000000000000, "1"},
        {1000000000000999, 1000000000000000, "0"},
        {1000000000000000, 1000000000000000, "0"},
        {1000000000000000, 1000000000000001, "0"},
        {INT64_MAX, INT64_MIN, "18446744073709551"},
        {INT64_MIN, INT64_MAX, "0"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
        char ms[CELERY_EXPIRATION_MAX] = "";
        char member[64];
        const struct celery_task_out task = {
            .task = "t",
            .id = "i",
            .expires_us = rows[i].expires_us,
            .now_us = rows[i].now_us,
        };

        ck_assert_int_eq(celery_task_expiration(&task, ms),
                         rows[i].text != NULL);
        ck_assert_str_eq(ms, rows[i].text == NULL ? "" : rows[i].text);
        if (rows[i].expires_us == INT64_MIN)
            continue; /* no year that can be written */
        ck_assert_int_eq(celery_message_encode_envelope(&task, "d", &buf, NULL),
                         CELERY_OK);
        (void)snprintf(member, sizeof member,
                       "\"delivery_mode\": 2, \"expiration\": \"%s\", "
                       "\"delivery_info\"",
                       ms);
        ck_assert_msg((strstr(buf.data, member) != NULL)
                          == (rows[i].text != NULL),
                      "%s", buf.data);
        ck_assert_msg((strstr(buf.data, "expiration") != NULL)
                          == (rows[i].text != NULL),
                      "%s", buf.data);
    }
}
END_TEST

START_TEST(writes_protocol_1)
{
    CLEANUP(celery_buf_done) struct celery_buf head = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf body = CELERY_BUF_INIT;
    struct celery_error err = {.msg = ""};
    struct celery_task_out task = {
        .protocol = 1,
        .task = "t",
        .id = "i",
        .args = text("[1]"),
        .group = "g",
        .group_index = 2,
        .retries = 3,
        .eta_us = 1795469808274203,
        .time_limit_s = 10,
        .callbacks = text("[4]"),
        .chord = text("{}"),
        .chain = text("[]"),
        .extra_headers = json("{\"mine\": 1, \"task\": \"other\"}"),
    };

    ck_assert_int_eq(celery_message_encode(&task, &head, &body, NULL),
                     CELERY_OK);
    ASSERT_BUF(&head, "{\"mine\": 1}");
    ASSERT_BUF(&body,
               "{\"task\": \"t\", \"id\": \"i\", \"args\": [1], "
               "\"kwargs\": {}, \"group\": \"g\", \"group_index\": 2, "
               "\"retries\": 3, \"eta\": "
               "\"2026-11-23T21:36:48.274203+00:00\", \"expires\": null, "
               "\"utc\": true, \"callbacks\": [4], \"errbacks\": null, "
               "\"timelimit\": [10, null], \"taskset\": \"g\", \"chord\": "
               "{}}");
    task.chain = text("[5]");
    ck_assert_int_eq(celery_message_encode(&task, &head, &body, &err),
                     CELERY_INVALID);
    ck_assert_str_eq(err.msg, "protocol 1 has no chain");
    task.protocol = 3;
    ck_assert_int_eq(celery_message_encode(&task, &head, &body, &err),
                     CELERY_INVALID);
    ck_assert_str_eq(err.msg, "there is no protocol 3");
}
END_TEST

START_TEST(writes_msgpack)
{
    CLEANUP(celery_buf_done) struct celery_buf head = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf body = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf back = CELERY_BUF_INIT;
    CLEANUP(celery_buf_done) struct celery_buf raw = CELERY_BUF_INIT;
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_limits limits = CELERY_LIMITS_DEFAULT;
    struct celery_error err = {.msg = ""};
    struct celery_envelope e;
    struct celery_message m;
    struct celery_task_out task = {
        .serializer = CELERY_SERIALIZER_MSGPACK,
        .task = "t",
        .id = "i",
        .args = text("[\"v\", 1]"),
        .group_index = -1,
    };

    ck_assert_int_eq(celery_message_encode(&task, &head, &body, NULL),
                     CELERY_OK);
    ck_assert_ptr_nonnull(strstr(head.data, "\"argsrepr\": \"('v', 1)\""));
    ck_assert_int_eq((unsigned char)body.data[0], 0x93);
    ck_assert_int_eq(celery_msgpack_decode(celery_buf_str(&body), &limits,
                                           &back, NULL),
                     CELERY_OK);
    ASSERT_BUF(&back,
               "[[\"v\", 1], {}, {\"callbacks\": null, \"errbacks\": null, "
               "\"chain\": null, \"chord\": null}]");

    task.protocol = 1;
    task.compression = "gzip";
    ck_assert_int_eq(celery_message_encode_envelope(&task, "d", &raw, NULL),
                     CELERY_OK);
    ck_assert_int_eq(celery_envelope_decode(celery_buf_str(&raw), NULL, &arena,
                                            &e, NULL),
                     CELERY_OK);
    ASSERT_TEXT(e.content.type, "application/x-msgpack");
    ASSERT_TEXT(e.content.encoding, "binary");
    ck_assert_int_eq(celery_message_decode(&e, CELERY_ACCEPT_MSGPACK, NULL,
                                           &arena, &m, NULL),
                     CELERY_OK);
    ASSERT_TEXT(m.args.text, "[\"v\", 1]");

    task.args = text("[1208925819614629174706176]");
    for (int i = 0; i < 2; i++) {
        task.compression = i == 0 ? "gzip" : NULL;
        ck_assert_int_eq(celery_message_encode(&task, &head, &body, &err),
                         CELERY_INVALID);
        ck_assert_msg(strstr(err.msg, "msgpack: ") == err.msg, "%s", err.msg);
        ck_assert_int_eq(err.status, CELERY_INVALID);
    }
}
END_TEST

START_TEST(a_nul_in_an_id_is_no_retry)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_message m;
    struct celery_task_out out;
    struct celery_envelope e =
        envelope("{\"task\": \"t\", \"id\": \"a\\u0000b\"}", "[[], {}, {}]");

    ck_assert_int_eq(celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL),
                     CELERY_OK);
    ck_assert_int_eq(celery_message_retry(&m, &e, &arena, &out),
                     CELERY_INVALID);
}
END_TEST

static enum celery_status there_and_back(const struct celery_envelope *e)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_message m;
    struct celery_task_out out;

    enum celery_status status =
        celery_message_decode(e, BOTH, NULL, &arena, &m, NULL);
    if (status == CELERY_OK)
        status = celery_message_retry(&m, e, &arena, &out);
    if (status == CELERY_OK) {
        out.compression = "zlib";
        status = celery_message_encode_envelope(&out, "d", &buf, NULL);
    }
    if (status == CELERY_OK) {
        out.serializer = CELERY_SERIALIZER_MSGPACK;
        status = celery_message_encode_envelope(&out, "d", &buf, NULL);
    }
    return status;
}

START_TEST(survives_out_of_memory)
{
    enum celery_status status = CELERY_OK;
    struct celery_envelope e =
        envelope("{\"task\": \"t\\u0041\", \"id\": \"i\", \"stamps\": "
                 "{\"x\": 1}, \"stamped_headers\": [\"x\"]}",
                 "[[\"\\u0041\"], {}, {}]");

    OOM_LOOP(status, { status = there_and_back(&e); });
}
END_TEST

START_TEST(a_plain_task_needs_no_heap_once_warm)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    CLEANUP(celery_buf_done) struct celery_buf raw = CELERY_BUF_INIT;
    char filler[400] = {0};
    char args[420];
    struct celery_envelope e;
    struct celery_message m;

    memset(filler, 'x', sizeof filler - 1);
    (void)snprintf(args, sizeof args, "[\"%s\"]", filler);
    const struct celery_task_out task = {
        .task = "t",
        .id = "i",
        .args = text(args),
        .group_index = -1,
        .routing_key = "q",
    };
    ck_assert_int_eq(celery_message_encode_envelope(&task, "d", &raw, NULL),
                     CELERY_OK);
    ck_assert_uint_gt(raw.len, 1024);
    for (int i = 0; i < 3; i++) {
        celery_arena_clear(&arena);
        oom_after(i == 0 ? -1 : 0); /* warm: every allocation fails */
        enum celery_status status =
            celery_envelope_decode(celery_buf_str(&raw), NULL, &arena, &e,
                                   NULL);
        if (status == CELERY_OK)
            status = celery_message_decode(&e, BOTH, NULL, &arena, &m, NULL);
        oom_after(-1);
        ck_assert_int_eq(status, CELERY_OK);
    }
    ASSERT_TEXT(m.args.text, args);
}
END_TEST

UNIT_MAIN("message", reads_every_header, the_least_is_enough,
          tells_broken_headers, the_epoch_is_no_absence,
          broken_messages_keep_their_names, pickle_is_refused_by_name,
          reads_protocol_1, headers_win_in_a_hybrid,
          writes_19_headers_in_pythons_order, writes_every_option,
          refuses_what_would_be_no_message, retries_as_python_does,
          an_unset_parent_becomes_the_task,
          a_retry_keeps_the_stamps_that_are_named,
          a_group_index_is_any_number_but_the_mark, expiration_is_what_is_left,
          writes_protocol_1, writes_msgpack, a_nul_in_an_id_is_no_retry,
          survives_out_of_memory, a_plain_task_needs_no_heap_once_warm)
