/* SPDX-License-Identifier: MIT */
/* A task that decodes, as Python's or ours, says the same when we send it on;
 * on failure nothing but its name and id is set. */
#include "celery/message.h"
#include "fuzz/fuzz.h"

static void send_on(const struct celery_message *message,
                    const struct celery_envelope *envelope,
                    struct celery_arena *arena)
{
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_task_out out;
    struct celery_envelope e;
    struct celery_message again;
    struct celery_error err;

    enum celery_status status =
        celery_message_retry(message, envelope, arena, &out);
    HOLDS(status == CELERY_OK || status == CELERY_INVALID);
    if (status != CELERY_OK)
        return; /* a NUL within an id */
    out.eta_us = message->eta_us;
    HOLDS(celery_message_encode_envelope(&out, "tag", &buf, &err) == CELERY_OK);
    HOLDS(celery_envelope_decode(celery_buf_str(&buf), NULL, arena, &e, &err)
          == CELERY_OK);
    HOLDS(
        celery_message_decode(&e, CELERY_ACCEPT_JSON, NULL, arena, &again, &err)
        == CELERY_OK);
    HOLDS(fuzz_same(message->task, again.task));
    HOLDS(fuzz_same(message->id, again.id));
    HOLDS(fuzz_same(message->args.text, again.args.text));
    HOLDS(fuzz_same(message->kwargs.text, again.kwargs.text));
    HOLDS(message->retries == again.retries);
    HOLDS(message->ignore_result == again.ignore_result);
    celery_buf_done(&buf);
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
