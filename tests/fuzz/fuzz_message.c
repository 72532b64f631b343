/* SPDX-License-Identifier: MIT */
/* A task that decodes, as Python's or ours, says the same when we send it on;
 * on failure nothing but its name and id is set. */
#include "celery/message.h"
#include "fuzz/fuzz.h"

/* What out becomes on the wire, read again. */
static enum celery_status there_and_back(const struct celery_task_out *out,
                                         struct celery_arena *arena,
                                         struct celery_message *ret)
{
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_envelope e;
    struct celery_error err;

    enum celery_status status =
        celery_message_encode_envelope(out, "tag", &buf, &err);
    if (status == CELERY_OK) {
        HOLDS(celery_envelope_decode(celery_arena_copy(arena,
                                                       celery_buf_str(&buf)),
                                     NULL, arena, &e, &err)
              == CELERY_OK);
        HOLDS(celery_message_decode(&e,
                                    out->serializer == CELERY_SERIALIZER_MSGPACK
                                        ? CELERY_ACCEPT_MSGPACK
                                        : CELERY_ACCEPT_JSON,
                                    NULL, arena, ret, &err)
              == CELERY_OK);
    }
    celery_buf_done(&buf);
    return status;
}

static void same_seconds(double a, double b)
{
    HOLDS(!(a < b) && !(a > b));
}

/* What every form of a message carries. */
static void same_task(const struct celery_message *a,
                      const struct celery_message *b)
{
    HOLDS(a->expires_us == b->expires_us);
    same_seconds(a->time_limit_s, b->time_limit_s);
    same_seconds(a->soft_time_limit_s, b->soft_time_limit_s);
    HOLDS(fuzz_same(a->reply_to, b->reply_to));
    HOLDS(fuzz_same(a->task, b->task));
    HOLDS(fuzz_same(a->id, b->id));
    HOLDS(fuzz_same(a->group, b->group));
    HOLDS(a->group_index == b->group_index);
    HOLDS(a->retries == b->retries);
    HOLDS(a->eta_us == b->eta_us);
}

static void same_json(struct celery_json a, struct celery_json b)
{
    HOLDS(celery_json_null(a) ? celery_json_null(b)
                              : fuzz_same(a.text, b.text));
}

static void same_workflow(const struct celery_message *a,
                          const struct celery_message *b)
{
    same_json(a->args, b->args);
    same_json(a->kwargs, b->kwargs);
    same_json(a->callbacks, b->callbacks);
    same_json(a->errbacks, b->errbacks);
    same_json(a->chord, b->chord);
}

/* What only protocol 2 carries. A task without a root is its own, one without a
 * parent becomes its retry's. */
static void same_headers(const struct celery_message *a,
                         const struct celery_message *b)
{
    HOLDS(fuzz_same(a->root_id.len != 0 ? a->root_id : a->id, b->root_id));
    HOLDS(
        fuzz_same(a->parent_id.len != 0 ? a->parent_id : a->id, b->parent_id));
    HOLDS(fuzz_same(a->shadow, b->shadow));
    HOLDS(fuzz_same(a->origin, b->origin));
    HOLDS(a->ignore_result == b->ignore_result);
    HOLDS(a->replaced_task_nesting == b->replaced_task_nesting);
    same_json(a->chain, b->chain);
    /* Stamps go on where they are named, and only then. */
    if (!celery_json_null(a->stamped_headers) && !celery_json_null(a->stamps))
        same_json(a->stamped_headers, b->stamped_headers);
    HOLDS(celery_json_count(b->stamps) <= celery_json_count(a->stamps));
    HOLDS(celery_json_count(b->stamps) == 0
          || celery_json_count(a->stamped_headers) != 0);
}

static void send_on(const struct celery_message *message,
                    const struct celery_envelope *envelope,
                    struct celery_arena *arena)
{
    struct celery_task_out out;
    struct celery_message again;

    enum celery_status status =
        celery_message_retry(message, envelope, arena, &out);
    HOLDS(status == CELERY_OK || status == CELERY_INVALID);
    if (status != CELERY_OK)
        return; /* a NUL within an id */
    out.eta_us = message->eta_us;
    out.now_us = message->eta_us;
    HOLDS(there_and_back(&out, arena, &again) == CELERY_OK);
    same_task(message, &again);
    same_workflow(message, &again);
    same_headers(message, &again);

    /* msgpack holds less than JSON does, but what it holds comes back. */
    out.serializer = CELERY_SERIALIZER_MSGPACK;
    status = there_and_back(&out, arena, &again);
    HOLDS(status == CELERY_OK || status == CELERY_INVALID);
    if (status == CELERY_OK) {
        same_task(message, &again);
        HOLDS(message->ignore_result == again.ignore_result);
    }

    out.serializer = CELERY_SERIALIZER_JSON;
    out.protocol = 1;
    status = there_and_back(&out, arena, &again);
    HOLDS(status
          == (celery_json_count(message->chain) == 0 ? CELERY_OK
                                                     : CELERY_INVALID));
    if (status != CELERY_OK)
        return;
    same_task(message, &again);
    HOLDS(again.protocol == 1);
    same_workflow(message, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_envelope e;
    struct celery_message message;
    struct celery_error err;

    if (celery_envelope_decode(fuzz_str(data, size), &limits, &arena, &e, &err)
        == CELERY_OK) {
        if (celery_message_decode(&e,
                                  CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK,
                                  &limits, &arena, &message, &err)
            == CELERY_OK) {
            HOLDS(message.task.len != 0 && message.id.len != 0);
            HOLDS(message.args.type == CELERY_JSON_ARRAY);
            HOLDS(message.kwargs.type == CELERY_JSON_OBJECT);
            send_on(&message, &e, &arena);
        } else {
            HOLDS(message.protocol == 0
                  && message.args.type == CELERY_JSON_NONE);
        }
    }
    celery_arena_done(&arena);
    return 0;
}
