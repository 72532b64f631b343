/* SPDX-License-Identifier: MIT */
/*
 * The first line has six limits, the second one the room of a buffer and of an
 * arena; the rest is an envelope. Whatever fits says the same as without limits,
 * what does not fit is told as such, and nothing grows past its limit.
 */
#include "celery/base64.h"
#include "celery/message.h"
#include "fuzz/lines.h"

static const struct celery_limits wide = FUZZ_LIMITS_INIT;

static size_t number(const char **text)
{
    char *end = NULL;
    unsigned long n = strtoul(*text, &end, 10);

    *text = end;
    return n;
}

static struct celery_limits read_limits(struct fuzz_lines *lines)
{
    const char *text = fuzz_text(lines);
    struct celery_limits limits = wide;

    limits.message_bytes = number(&text);
    limits.inflated_bytes = number(&text) % wide.inflated_bytes;
    limits.elements = number(&text) % wide.elements;
    limits.depth = (unsigned)(number(&text) % wide.depth);
    limits.headers = (unsigned)(number(&text) % wide.headers);
    limits.stamps = (unsigned)(number(&text) % wide.stamps);
    return limits;
}

static enum celery_status decode(struct celery_str raw,
                                 const struct celery_limits *limits,
                                 struct celery_arena *arena,
                                 struct celery_message *ret)
{
    struct celery_envelope e;
    struct celery_error err = {.status = CELERY_OK};

    enum celery_status status =
        celery_envelope_decode(raw, limits, arena, &e, &err);
    if (status == CELERY_OK)
        status =
            celery_message_decode(&e,
                                  CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK,
                                  limits, arena, ret, &err);
    HOLDS(status == err.status);
    if (status == CELERY_TOO_LARGE)
        HOLDS(strstr(err.msg, "limit") != NULL);
    return status;
}

static void check_decode(struct celery_str raw, struct celery_limits limits,
                         size_t room)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_arena small = CELERY_ARENA_INIT;
    struct celery_message a;
    struct celery_message b;

    enum celery_status want = decode(raw, &wide, &arena, &a);
    enum celery_status status = decode(raw, &limits, &arena, &b);
    /* A limit may come before what else is wrong. */
    HOLDS(status == want || status == CELERY_TOO_LARGE);
    if (status == CELERY_OK)
        HOLDS(fuzz_same(a.task, b.task) && fuzz_same(a.args.text, b.args.text)
              && fuzz_same(a.kwargs.text, b.kwargs.text));
    if (raw.len > limits.message_bytes)
        HOLDS(status == CELERY_TOO_LARGE);

    small.limit = room;
    status = decode(raw, &wide, &small, &b);
    HOLDS(status == want || status == CELERY_NOMEM);
    HOLDS(small.used <= room || small.limit == 0);
    celery_arena_done(&small);
    celery_arena_done(&arena);
}

/* Writers into a buffer that is too small mark it, and leave a beginning of
 * what they would have written. */
static void check_write(struct celery_str raw, size_t room)
{
    struct celery_buf whole = CELERY_BUF_INIT;
    struct celery_buf small = CELERY_BUF_INIT;
    const struct celery_envelope_out out = {
        .body = raw,
        .content_type = "application/json",
        .delivery_mode = 2,
    };

    small.limit = room;
    celery_envelope_encode(&whole, &out);
    celery_envelope_encode(&small, &out);
    celery_buf_printf(&small, "%zu", room);
    HOLDS(celery_buf_status(&whole) == CELERY_OK);
    HOLDS(room == 0 || small.len <= room);
    if (celery_buf_status(&small) == CELERY_OK)
        HOLDS(small.len > whole.len
              && memcmp(small.data, whole.data, whole.len) == 0);
    else
        HOLDS(celery_buf_status(&small) == CELERY_TOO_LARGE && room != 0);
    celery_buf_done(&whole);
    celery_buf_done(&small);
}

static void check_msgpack(struct celery_str raw, struct celery_limits limits,
                          size_t room)
{
    struct celery_buf whole = CELERY_BUF_INIT;
    struct celery_buf small = CELERY_BUF_INIT;
    struct celery_buf packed = CELERY_BUF_INIT;
    struct celery_json root;

    if (celery_json_parse(raw, &wide, &root, NULL) == CELERY_OK
        && celery_msgpack_encode(root, &packed, NULL) == CELERY_OK) {
        struct celery_str bytes = celery_buf_str(&packed);
        HOLDS(celery_msgpack_decode(bytes, NULL, &whole, NULL) == CELERY_OK);
        small.limit = room;
        enum celery_status status =
            celery_msgpack_decode(bytes, &limits, &small, NULL);
        HOLDS(room == 0 || small.len <= room);
        HOLDS(status == CELERY_OK || status == CELERY_TOO_LARGE);
        HOLDS(status == CELERY_OK
                  ? fuzz_same(celery_buf_str(&whole), celery_buf_str(&small))
                  : small.len == 0);
        celery_buf_clear(&small);
        small.limit = room;
        status = celery_msgpack_encode(root, &small, NULL);
        HOLDS(status == CELERY_OK || status == CELERY_TOO_LARGE);
        HOLDS(room == 0 || small.len <= room);
    }
    celery_buf_done(&whole);
    celery_buf_done(&small);
    celery_buf_done(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct fuzz_lines lines = {fuzz_str(data, size), &arena};
    struct celery_limits limits = read_limits(&lines);
    const char *text = fuzz_text(&lines);
    size_t buf_room = number(&text) % 65536;
    size_t arena_room = number(&text) % 65536;

    check_decode(lines.rest, limits, arena_room);
    check_write(lines.rest, buf_room);
    check_msgpack(lines.rest, limits, buf_room);
    celery_arena_done(&arena);
    return 0;
}
