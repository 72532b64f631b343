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

static void same_task(const struct celery_message *a,
                      const struct celery_message *b)
{
    HOLDS(fuzz_same(a->task, b->task));
    HOLDS(fuzz_same(a->id, b->id));
    HOLDS(fuzz_same(a->group, b->group));
    HOLDS(a->group_index == b->group_index);
    HOLDS(a->retries == b->retries);
    HOLDS(a->eta_us == b->eta_us);
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
    HOLDS(fuzz_same(message->args.text, again.args.text));
    HOLDS(fuzz_same(message->kwargs.text, again.kwargs.text));
    HOLDS(message->ignore_result == again.ignore_result);

    /* msgpack holds less than JSON does, but what it holds comes back. */
    out.serializer = CELERY_SERIALIZER_MSGPACK;
    status = there_and_back(&out, arena, &again);
    HOLDS(status == CELERY_OK || status == CELERY_INVALID);
    if (status == CELERY_OK)
        same_task(message, &again);

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
    HOLDS(fuzz_same(message->args.text, again.args.text));
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
