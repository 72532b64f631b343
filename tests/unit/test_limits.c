/* SPDX-License-Identifier: MIT */
/*
 * Every limit of every decoder that has it: what is at the limit passes, one
 * more does not, and the error names the limit, its value and the offset.
 */
#include "celery/limits.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "celery/compress.h"
#include "celery/control.h"
#include "celery/message.h"
#include "celery/result.h"
#include "support/text.h"
#include "support/unit.h"

typedef enum celery_status (*decode_fn)(struct celery_str input,
                                        const struct celery_limits *limits,
                                        struct celery_arena *arena,
                                        struct celery_error *err);

static enum celery_status json_document(struct celery_str input,
                                        const struct celery_limits *limits,
                                        struct celery_arena *arena,
                                        struct celery_error *err)
{
    struct celery_json root;
    (void)arena;
    return celery_json_parse(input, limits, &root, err);
}

static enum celery_status msgpack_document(struct celery_str input,
                                           const struct celery_limits *limits,
                                           struct celery_arena *arena,
                                           struct celery_error *err)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    (void)arena;
    return celery_msgpack_decode(input, limits, &buf, err);
}

static enum celery_status envelope(struct celery_str input,
                                   const struct celery_limits *limits,
                                   struct celery_arena *arena,
                                   struct celery_error *err)
{
    struct celery_envelope e;
    return celery_envelope_decode(input, limits, arena, &e, err);
}

static enum celery_status result(struct celery_str input,
                                 const struct celery_limits *limits,
                                 struct celery_arena *arena,
                                 struct celery_error *err)
{
    struct celery_result r;
    return celery_result_decode(input, limits, arena, &r, err);
}

/* The input is the body of a message of one of these kinds. */
static enum celery_status message(struct celery_str input,
                                  const struct celery_limits *limits,
                                  struct celery_arena *arena,
                                  struct celery_error *err)
{
    struct celery_message m;
    const struct celery_envelope e = {
        .content = {.type = text("application/json"), .body = input},
        .headers = json("{\"task\": \"t\", \"id\": \"i\", \"x\": [1, 2]}"),
    };
    return celery_message_decode(&e, CELERY_ACCEPT_JSON, limits, arena, &m,
                                 err);
}

static enum celery_status msgpack_body(struct celery_str input,
                                       const struct celery_limits *limits,
                                       struct celery_arena *arena,
                                       struct celery_error *err)
{
    struct celery_json root;
    const struct celery_content content = {
        .type = text("application/x-msgpack"),
        .body = input,
    };
    return celery_content_decode(&content, CELERY_ACCEPT_MSGPACK, limits, arena,
                                 &root, err);
}

static enum celery_status zlib_body(struct celery_str input,
                                    const struct celery_limits *limits,
                                    struct celery_arena *arena,
                                    struct celery_error *err)
{
    CLEANUP(celery_buf_done) struct celery_buf packed = CELERY_BUF_INIT;
    struct celery_json root;
    ck_assert_int_eq(celery_compress(text("zlib"), input, &packed, NULL),
                     CELERY_OK);
    const struct celery_content content = {
        .type = text("application/json"),
        .compression = text("application/x-gzip"),
        .body = celery_buf_str(&packed),
    };
    return celery_content_decode(&content, CELERY_ACCEPT_JSON, limits, arena,
                                 &root, err);
}

static enum celery_status control(struct celery_str input,
                                  const struct celery_limits *limits,
                                  struct celery_arena *arena,
                                  struct celery_error *err)
{
    struct celery_control_request r;
    const struct celery_envelope e = {
        .content = {.type = text("application/json"), .body = input},
        .headers = json("{}"),
    };
    return celery_control_decode(&e, limits, arena, &r, err);
}

#define STATUS "{\"status\": \"S\", \"result\": [[1]]}"
#define METHOD "{\"method\": \"m\", \"arguments\": {\"a\": [1]}}"
#define TASK   "[[1, [2]], {}, {}]"
#define HEADED "{\"headers\": {\"a\": [1], \"b\": 2}}"

#define BYTES_OF(literal)              \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

enum limit { BYTES, INFLATED, ELEMENTS, DEPTH, HEADERS };

/* at: the least value that lets the input pass. */
static const struct {
    const char *name;
    decode_fn decode;
    struct celery_str input;
    enum limit limit;
    size_t at;
    const char *error;
} rows[] = {
    {"json",
     json_document,
     {"[1, [2]]", 8},
     ELEMENTS,
     4,
     "JSON: past the limit elements of 3 at byte 5"},
    {"json",
     json_document,
     {"[1, [2]]", 8},
     DEPTH,
     2,
     "JSON: past the limit depth of 1 at byte 4"},
    {"msgpack",
     msgpack_document,
     {"\x92\x01\x91\x02", 4},
     ELEMENTS,
     4,
     "msgpack: past the limit elements of 3 at byte 4"},
    {"msgpack",
     msgpack_document,
     {"\x92\x01\x91\x02", 4},
     DEPTH,
     2,
     "msgpack: past the limit depth of 1 at byte 3"},
    {"envelope",
     envelope,
     {HEADED, sizeof HEADED - 1},
     BYTES,
     sizeof HEADED - 1,
     "message of 31 bytes: past the limit message_bytes of 30 at byte 30"},
    {"envelope",
     envelope,
     {HEADED, sizeof HEADED - 1},
     HEADERS,
     2,
     "2 headers: past the limit headers of 1 at byte 11 of them"},
    {"envelope",
     envelope,
     {HEADED, sizeof HEADED - 1},
     DEPTH,
     3,
     "JSON: past the limit depth of 2 at byte 18"},
    {"envelope",
     envelope,
     {HEADED, sizeof HEADED - 1},
     ELEMENTS,
     5,
     "JSON: past the limit elements of 4 at byte 28"},
    {"result",
     result,
     {STATUS, sizeof STATUS - 1},
     BYTES,
     sizeof STATUS - 1,
     "result of 32 bytes: past the limit message_bytes of 31 at byte 31"},
    {"result",
     result,
     {STATUS, sizeof STATUS - 1},
     DEPTH,
     3,
     "JSON: past the limit depth of 2 at byte 27"},
    {"result",
     result,
     {STATUS, sizeof STATUS - 1},
     ELEMENTS,
     5,
     "JSON: past the limit elements of 4 at byte 28"},
    {"message",
     message,
     {TASK, sizeof TASK - 1},
     INFLATED,
     sizeof TASK - 1,
     "body of 18 bytes: past the limit inflated_bytes of 17 at byte 17"},
    {"message",
     message,
     {TASK, sizeof TASK - 1},
     HEADERS,
     3,
     "3 headers: past the limit headers of 2 at byte 25 of them"},
    {"message",
     message,
     {TASK, sizeof TASK - 1},
     DEPTH,
     3,
     "JSON: past the limit depth of 2 at byte 5"},
    {"message",
     message,
     {TASK, sizeof TASK - 1},
     ELEMENTS,
     7,
     "JSON: past the limit elements of 6 at byte 15"},
    {"control",
     control,
     {METHOD, sizeof METHOD - 1},
     DEPTH,
     3,
     "JSON: past the limit depth of 2 at byte 35"},
    {"control",
     control,
     {METHOD, sizeof METHOD - 1},
     ELEMENTS,
     5,
     "JSON: past the limit elements of 4 at byte 36"},
    {"control",
     control,
     {METHOD, sizeof METHOD - 1},
     INFLATED,
     sizeof METHOD - 1,
     "body of 40 bytes: past the limit inflated_bytes of 39 at byte 39"},
    {"msgpack body",
     msgpack_body,
     {"\x92\x01\x91\x02", 4},
     INFLATED,
     8,
     "msgpack: past the limit inflated_bytes of 7 at byte 4"},
    {"zlib body",
     zlib_body,
     {TASK, sizeof TASK - 1},
     INFLATED,
     sizeof TASK - 1,
     "application/x-gzip: past the limit inflated_bytes of 17 at byte 17 of "
     "the "
     "output"},
};

static struct celery_limits with(enum limit limit, size_t value)
{
    struct celery_limits limits = CELERY_LIMITS_DEFAULT;
    switch (limit) {
    case BYTES:
        limits.message_bytes = value;
        break;
    case INFLATED:
        limits.inflated_bytes = value;
        break;
    case ELEMENTS:
        limits.elements = value;
        break;
    case DEPTH:
        limits.depth = (unsigned)value;
        break;
    case HEADERS:
    default:
        limits.headers = (unsigned)value;
        break;
    }
    return limits;
}

START_TEST(at_the_limit_and_one_past)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_error err = {.msg = ""};

        struct celery_limits limits = with(rows[i].limit, rows[i].at);
        ck_assert_msg(rows[i].decode(rows[i].input, &limits, &arena, &err)
                          == CELERY_OK,
                      "row %zu, %s: %s", i, rows[i].name, err.msg);
        limits = with(rows[i].limit, rows[i].at - 1);
        ck_assert_msg(rows[i].decode(rows[i].input, &limits, &arena, &err)
                          == CELERY_TOO_LARGE,
                      "row %zu, %s passes", i, rows[i].name);
        ck_assert_msg(strcmp(err.msg, rows[i].error) == 0,
                      "row %zu, %s: '%s', want '%s'", i, rows[i].name, err.msg,
                      rows[i].error);
    }
}
END_TEST

START_TEST(stamps_and_their_names_are_counted)
{
    const char *const headers[] = {
        "{\"task\": \"t\", \"id\": \"i\", \"stamped_headers\": [\"a\"], "
        "\"stamps\": {\"a\": 1, \"b\": 2, \"c\": 3}}",
        "{\"task\": \"t\", \"id\": \"i\", \"stamped_headers\": [\"a\", "
        "\"b\", \"c\"], \"stamps\": {\"a\": 1}}",
    };

    for (size_t i = 0; i < 2; i++) {
        CLEANUP(celery_arena_done)
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct celery_limits limits = CELERY_LIMITS_DEFAULT;
        struct celery_error err = {.msg = ""};
        struct celery_message m;
        const struct celery_envelope e = {
            .content = {.type = text("application/json"), .body = text(TASK)},
            .headers = json(headers[i]),
        };

        limits.stamps = 3;
        ck_assert_int_eq(celery_message_decode(&e, CELERY_ACCEPT_JSON, &limits,
                                               &arena, &m, &err),
                         CELERY_OK);
        limits.stamps = 2;
        ck_assert_int_eq(celery_message_decode(&e, CELERY_ACCEPT_JSON, &limits,
                                               &arena, &m, &err),
                         CELERY_TOO_LARGE);
        ck_assert_str_eq(err.msg, "3 stamps: past the limit stamps of 2");
        ASSERT_TEXT(m.id, "i");
    }
}
END_TEST

/* Headers of streams whose dictionary is of 256 MiB, and of 64 MiB. */
static const struct {
    const char *name;
    struct celery_str large;
    struct celery_str small;
    const char *error;
} windows[] = {
    {"lzma",
     BYTES_OF("\x5d\x00\x00\x00\x10\xff\xff\xff\xff\xff\xff\xff\xff\x00"),
     BYTES_OF("\x5d\x00\x00\x00\x04\xff\xff\xff\xff\xff\xff\xff\xff\x00"),
     "application/x-lzma: takes more than 128 MiB of memory to read"},
    {"zstd", BYTES_OF("\x28\xb5\x2f\xfd\x00\x90\x01\x00\x00"),
     BYTES_OF("\x28\xb5\x2f\xfd\x00\x80\x01\x00"),
     "application/zstd: takes more than 128 MiB of memory to read"},
};

START_TEST(dictionaries_are_limited)
{
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        CLEANUP(celery_buf_done) struct celery_buf plain = CELERY_BUF_INIT;
        struct celery_error err = {.msg = ""};

        ck_assert_int_eq(celery_decompress(text(windows[i].name),
                                           windows[i].large, 100, &plain, &err),
                         CELERY_TOO_LARGE);
        ck_assert_str_eq(err.msg, windows[i].error);
        /* Read as far as it goes: it is cut. */
        ck_assert_int_eq(celery_decompress(text(windows[i].name),
                                           windows[i].small, 100, &plain, &err),
                         CELERY_MALFORMED);
    }
}
END_TEST

UNIT_MAIN("limits", at_the_limit_and_one_past,
          stamps_and_their_names_are_counted, dictionaries_are_limited)
