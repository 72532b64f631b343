/* SPDX-License-Identifier: MIT */
/*
 * Lines are the members of a task to publish: what is written reads back as it
 * was given, in either protocol, serializer and any compression; what is
 * refused has a reason.
 */
#include "celery/compress.h"
#include "celery/message.h"
#include "celery/timestamp.h"
#include "fuzz/lines.h"

/* Room for all that can be published; only the input's size limits it. */
static const struct celery_limits limits = {
    .message_bytes = SIZE_MAX,
    .inflated_bytes = (size_t)1 << 24,
    .elements = SIZE_MAX,
    .depth = 1100,
    .headers = UINT32_MAX,
    .stamps = UINT32_MAX,
};

static void read_task(struct fuzz_lines *lines, struct celery_task_out *out)
{
    out->protocol = (int)(fuzz_int(lines) % 5);
    out->serializer = fuzz_int(lines) == 0 ? CELERY_SERIALIZER_JSON
                                           : CELERY_SERIALIZER_MSGPACK;
    out->compression = fuzz_text(lines);
    out->task = fuzz_text(lines);
    out->id = fuzz_text(lines);
    out->args = fuzz_line(lines);
    out->kwargs = fuzz_line(lines);
    out->callbacks = fuzz_line(lines);
    out->errbacks = fuzz_line(lines);
    out->chain = fuzz_line(lines);
    out->chord = fuzz_line(lines);
    out->stamped_headers = fuzz_line(lines);
    out->stamps = fuzz_line(lines);
    struct celery_str extra = fuzz_line(lines);
    if (celery_json_parse(extra, &limits, &out->extra_headers, NULL)
        != CELERY_OK)
        out->extra_headers.type = CELERY_JSON_NONE;
    out->root_id = fuzz_text(lines);
    out->parent_id = fuzz_text(lines);
    out->group = fuzz_text(lines);
    out->shadow = fuzz_text(lines);
    out->origin = fuzz_text(lines);
    out->reply_to = fuzz_text(lines);
    out->eta_us = fuzz_int(lines);
    out->expires_us = fuzz_int(lines);
    out->now_us = fuzz_int(lines);
    out->group_index = fuzz_int(lines);
    out->retries = fuzz_int(lines);
    out->replaced_task_nesting = fuzz_int(lines);
    out->time_limit_s = fuzz_double(lines);
    out->soft_time_limit_s = fuzz_double(lines);
    out->ignore_result =
        (enum celery_ignore_result)((unsigned)fuzz_int(lines) % 3);
    out->priority = (int)(fuzz_int(lines) % 256);
    out->exchange = fuzz_text(lines);
    out->routing_key = fuzz_text(lines);
}

/* The time as its text says it: what lies outside the calendar is clamped. */
static int64_t written_time(int64_t usec)
{
    char text[CELERY_TIMESTAMP_MAX];
    int64_t got = 0;

    if (usec == CELERY_TIME_NONE)
        return CELERY_TIME_NONE;
    celery_timestamp_format(usec, text);
    HOLDS(celery_timestamp_parse(fuzz_whole(text), &got) == CELERY_OK);
    return got == CELERY_TIME_NONE ? 1 : got;
}

static void same_text(struct celery_str got, const char *want,
                      struct celery_arena *arena)
{
    HOLDS(fuzz_same(got, fuzz_through_json(fuzz_whole(want), arena)));
}

/* got is the document in text; where there is none, it is empty or absent. */
static void same_json(struct celery_json got, struct celery_str text,
                      const char *none)
{
    struct celery_json want;

    if (text.len == 0) {
        HOLDS(none == NULL ? celery_json_null(got)
                           : fuzz_same(got.text, fuzz_whole(none)));
        return;
    }
    HOLDS(celery_json_parse(text, &limits, &want, NULL) == CELERY_OK);
    HOLDS(want.type == CELERY_JSON_NULL ? celery_json_null(got)
                                        : fuzz_same(got.text, want.text));
}

static void same_seconds(double got, double want)
{
    if (!(want > 0) || !isfinite(want))
        want = 0;
    HOLDS(!(got < want) && !(got > want));
}

static void check_common(const struct celery_task_out *out,
                         const struct celery_message *m,
                         struct celery_arena *arena)
{
    same_text(m->task, out->task, arena);
    same_text(m->id, out->id, arena);
    same_text(m->group, out->group, arena);
    same_text(m->reply_to, out->reply_to, arena);
    HOLDS(m->group_index == out->group_index);
    HOLDS(m->retries == out->retries);
    HOLDS(m->eta_us == written_time(out->eta_us));
    HOLDS(m->expires_us == written_time(out->expires_us));
    same_seconds(m->time_limit_s, out->time_limit_s);
    same_seconds(m->soft_time_limit_s, out->soft_time_limit_s);
}

/* msgpack writes numbers and texts in its own way. */
static void check_body(const struct celery_task_out *out,
                       const struct celery_message *m)
{
    same_json(m->args, out->args, "[]");
    same_json(m->kwargs, out->kwargs, "{}");
    same_json(m->callbacks, out->callbacks, NULL);
    same_json(m->errbacks, out->errbacks, NULL);
    same_json(m->chord, out->chord, NULL);
    if (out->protocol != 1)
        same_json(m->chain, out->chain, NULL);
}

static void check_headers(const struct celery_task_out *out,
                          const struct celery_message *m,
                          struct celery_arena *arena)
{
    same_text(m->root_id, *out->root_id != '\0' ? out->root_id : out->id,
              arena);
    same_text(m->parent_id, out->parent_id, arena);
    same_text(m->shadow, out->shadow, arena);
    same_text(m->origin, out->origin, arena);
    HOLDS(m->argsrepr.len != 0 && m->kwargsrepr.len != 0);
    HOLDS(m->replaced_task_nesting == out->replaced_task_nesting);
    HOLDS(m->ignore_result == out->ignore_result);
    same_json(m->stamped_headers, out->stamped_headers, NULL);
    if (!celery_json_null(m->stamps))
        same_json(m->stamps, out->stamps, "{}");
    if (out->extra_headers.type == CELERY_JSON_OBJECT) {
        struct celery_json own = celery_json_get(out->extra_headers, "custom");
        HOLDS(
            own.type == CELERY_JSON_NONE
            || fuzz_same(celery_json_get(m->headers, "custom").text, own.text));
    }
}

static void check_written(const struct celery_task_out *out,
                          struct celery_str raw, struct celery_arena *arena)
{
    struct celery_envelope e;
    struct celery_message m;
    struct celery_json text;
    char expiration[CELERY_EXPIRATION_MAX];

    HOLDS(celery_envelope_decode(raw, &limits, arena, &e, NULL) == CELERY_OK);
    HOLDS(fuzz_same(e.content.type,
                    fuzz_whole(celery_serializer_type(out->serializer))));
    const char *mime = celery_compression_mime(fuzz_whole(out->compression));
    HOLDS(fuzz_same(e.content.compression, fuzz_whole(mime ? mime : "")));
    HOLDS(e.priority == out->priority);
    same_text(e.exchange, out->exchange, arena);
    same_text(e.routing_key, out->routing_key, arena);
    same_text(e.delivery_tag, "tag", arena);
    same_text(e.correlation_id, out->id, arena);
    text = celery_json_get(e.properties, "expiration");
    HOLDS((text.type == CELERY_JSON_STRING)
          == celery_task_expiration(out, expiration));
    if (text.type == CELERY_JSON_STRING)
        HOLDS(fuzz_says(text, fuzz_whole(expiration), arena));

    HOLDS(celery_message_decode(&e, CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK,
                                &limits, arena, &m, NULL)
          == CELERY_OK);
    HOLDS(m.protocol == (out->protocol == 1 ? 1 : 2));
    check_common(out, &m, arena);
    if (out->serializer == CELERY_SERIALIZER_JSON)
        check_body(out, &m);
    if (out->protocol != 1)
        check_headers(out, &m, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf buf = CELERY_BUF_INIT;
    struct fuzz_lines lines = {fuzz_str(data, size), &arena};
    struct celery_task_out out = {.protocol = 0};
    struct celery_error err = {.status = CELERY_OK};

    if (size > 4096)
        return 0;
    read_task(&lines, &out);
    enum celery_status status =
        celery_message_encode_envelope(&out, "tag", &buf, &err);
    if (status == CELERY_OK) {
        HOLDS(out.protocol >= 0 && out.protocol <= 2);
        HOLDS(*out.task != '\0' && *out.id != '\0');
        check_written(&out, celery_buf_str(&buf), &arena);
    } else {
        HOLDS(status == CELERY_INVALID || status == CELERY_UNSUPPORTED);
        HOLDS(err.status == status && err.msg[0] != '\0');
        HOLDS(status != CELERY_UNSUPPORTED
              || celery_compression_mime(fuzz_whole(out.compression)) == NULL);
    }
    celery_buf_done(&buf);
    celery_arena_done(&arena);
    return 0;
}
