/* SPDX-License-Identifier: MIT */
/*
 * Lines are the members of a request to the workers, then a node and its
 * reply: what is written reads back, the request is for whom it names, and the
 * reply answers it.
 */
#include "celery/control.h"
#include "fuzz/lines.h"

static const struct celery_limits limits = FUZZ_LIMITS_INIT;

/* The line's text when it is a document of this type, else empty. */
static struct celery_str document(struct fuzz_lines *lines,
                                  enum celery_json_type type)
{
    struct celery_str line = fuzz_line(lines);
    struct celery_json value;

    if (celery_json_parse(line, &limits, &value, NULL) != CELERY_OK
        || (type != CELERY_JSON_NONE && value.type != type))
        return CELERY_STR("");
    return value.text;
}

static bool decode(const struct celery_buf *buf, struct celery_arena *arena,
                   struct celery_envelope *ret)
{
    HOLDS(celery_buf_status(buf) == CELERY_OK);
    struct celery_str raw = celery_arena_copy(arena, celery_buf_str(buf));
    return celery_envelope_decode(raw, NULL, arena, ret, NULL) == CELERY_OK;
}

static void same_text(struct celery_str got, const char *want,
                      struct celery_arena *arena)
{
    HOLDS(fuzz_same(got, fuzz_through_json(fuzz_whole(want), arena)));
}

static void check_request(const struct celery_control_out *out,
                          const struct celery_control_request *r,
                          struct celery_arena *arena)
{
    same_text(r->method, out->method, arena);
    HOLDS(fuzz_same(r->arguments.text, out->arguments.len != 0
                                           ? out->arguments
                                           : CELERY_STR("{}")));
    HOLDS(out->destination.len == 0
              ? celery_json_null(r->destination)
              : fuzz_same(r->destination.text, out->destination));
    HOLDS(r->pattern.len == 0 && r->matcher.len == 0);
    same_text(r->ticket, out->ticket != NULL ? out->ticket : "", arena);
    if (out->ticket != NULL) {
        same_text(r->reply_routing_key, out->reply_routing_key, arena);
        HOLDS(fuzz_same(r->reply_exchange, CELERY_STR("reply.celery.pidbox")));
    }
    HOLDS(r->clock == out->clock);
    HOLDS(out->expires > 0
              ? !(r->expires < out->expires) && !(r->expires > out->expires)
              : !(r->expires > 0));
}

/* A request without destination is for everybody, one with a list for those in
 * it. */
static void check_destination(const struct celery_control_request *r,
                              const char *node)
{
    bool named = !celery_json_truthy(r->destination);
    struct celery_json value;
    struct celery_json_iter iter = celery_json_iter(r->destination);

    while (celery_json_next(&iter, NULL, &value))
        named = named || celery_json_is(value, node);
    HOLDS(celery_control_is_for(r, node) == named);
}

static void check_reply(const struct celery_control_request *r,
                        const char *node, struct celery_str reply,
                        int64_t clock, struct celery_arena *arena)
{
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_envelope e;
    struct celery_json root;

    celery_control_reply(&buf, r, node, reply, clock, "tag");
    HOLDS(decode(&buf, arena, &e));
    HOLDS(fuzz_same(e.exchange, fuzz_through_json(r->reply_exchange, arena)));
    HOLDS(fuzz_same(e.routing_key,
                    fuzz_through_json(r->reply_routing_key, arena)));
    HOLDS(fuzz_says(celery_json_get(e.headers, "ticket"), r->ticket, arena));
    HOLDS(fuzz_is_int(celery_json_get(e.headers, "clock"), clock));
    HOLDS(celery_content_decode(&e.content, CELERY_ACCEPT_JSON, NULL, arena,
                                &root, NULL)
          == CELERY_OK);
    HOLDS(celery_json_count(root) == 1);
    struct celery_json_iter iter = celery_json_iter(root);
    struct celery_json key;
    struct celery_json value;
    HOLDS(celery_json_next(&iter, &key, &value));
    HOLDS(fuzz_says(key, fuzz_whole(node), arena));
    HOLDS(fuzz_same(value.text, reply));
    celery_buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_buf buf = CELERY_BUF_INIT;
    struct fuzz_lines lines = {fuzz_str(data, size), &arena};
    struct celery_control_request request;
    struct celery_envelope e;
    struct celery_error err = {.status = CELERY_OK};
    struct celery_control_out out = {
        .method = fuzz_text(&lines),
        .arguments = document(&lines, CELERY_JSON_OBJECT),
        .destination = document(&lines, CELERY_JSON_ARRAY),
        .ticket = fuzz_text(&lines),
        .reply_routing_key = fuzz_text(&lines),
        .clock = fuzz_int(&lines),
        .expires = fuzz_double(&lines),
        .delivery_tag = fuzz_text(&lines),
    };

    if (*out.ticket == '\0')
        out.ticket = NULL;
    if (!isfinite(out.expires))
        out.expires = 0;
    celery_control_encode(&buf, &out);
    HOLDS(decode(&buf, &arena, &e));
    HOLDS(fuzz_same(e.exchange, CELERY_STR("celery.pidbox")));
    same_text(e.delivery_tag, out.delivery_tag, &arena);
    enum celery_status status =
        celery_control_decode(&e, NULL, &arena, &request, &err);
    if (*out.method == '\0') {
        HOLDS(status == CELERY_MALFORMED && err.status == status);
    } else {
        HOLDS(status == CELERY_OK);
        check_request(&out, &request, &arena);
        const char *node = fuzz_text(&lines);
        check_destination(&request, node);
        struct celery_str reply = document(&lines, CELERY_JSON_NONE);
        if (reply.len != 0)
            check_reply(&request, node, reply, fuzz_int(&lines), &arena);
    }
    celery_buf_done(&buf);
    celery_arena_done(&arena);
    return 0;
}
