/* SPDX-License-Identifier: MIT */
/* An envelope survives being put into another one: its body, its headers, and
 * every property that we read. */
#include "celery/envelope.h"
#include "fuzz/lines.h"

/* NULL for an empty text, which is left out. */
static const char *text_of(struct celery_str text, struct celery_arena *arena,
                           bool *ok)
{
    if (text.len == 0)
        return NULL;
    *ok = *ok && memchr(text.data, '\0', text.len) == NULL;
    return celery_arena_copy(arena, text).data;
}

static void same(const struct celery_envelope *a,
                 const struct celery_envelope *b)
{
    HOLDS(fuzz_same(a->content.body, b->content.body));
    HOLDS(fuzz_same(a->content.type, b->content.type));
    HOLDS(fuzz_same(a->content.encoding, b->content.encoding));
    HOLDS(fuzz_same(a->content.compression, b->content.compression));
    HOLDS(fuzz_same(a->correlation_id, b->correlation_id));
    HOLDS(fuzz_same(a->reply_to, b->reply_to));
    HOLDS(fuzz_same(a->exchange, b->exchange));
    HOLDS(fuzz_same(a->routing_key, b->routing_key));
    HOLDS(fuzz_same(a->delivery_tag, b->delivery_tag));
    HOLDS(a->headers.type == CELERY_JSON_NONE
              ? fuzz_same(b->headers.text, CELERY_STR("{}"))
              : fuzz_same(a->headers.text, b->headers.text));
    HOLDS(b->priority == (int)a->priority);
    /* The mark among the properties is the transport's, not ours. */
    HOLDS(a->redelivered || !b->redelivered);
}

/* What the decoder picked in its one walk, looked up member by member. */
static void check_picked(const struct celery_envelope *e,
                         struct celery_arena *arena)
{
    struct celery_json info = celery_json_get(e->properties, "delivery_info");
    const struct {
        struct celery_json value;
        struct celery_str got;
    } texts[] = {
        {celery_json_get(e->properties, "correlation_id"), e->correlation_id},
        {celery_json_get(e->properties, "reply_to"), e->reply_to},
        {celery_json_get(e->properties, "delivery_tag"), e->delivery_tag},
        {celery_json_get(info, "exchange"), e->exchange},
        {celery_json_get(info, "routing_key"), e->routing_key},
        {celery_json_get(e->headers, "compression"), e->content.compression},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct celery_str want = {"", 0};
        if (texts[i].value.type == CELERY_JSON_STRING)
            HOLDS(celery_json_string(texts[i].value, arena, &want)
                  == CELERY_OK);
        HOLDS(fuzz_same(texts[i].got, want));
    }
}

static void send_on(const struct celery_envelope *e, struct celery_arena *arena)
{
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_envelope again;
    bool ok = true;
    const struct celery_envelope_out out = {
        .body = e->content.body,
        .content_type = text_of(e->content.type, arena, &ok),
        .content_encoding = text_of(e->content.encoding, arena, &ok),
        .headers = e->headers.type == CELERY_JSON_OBJECT ? e->headers.text
                                                         : CELERY_STR(""),
        .correlation_id = text_of(e->correlation_id, arena, &ok),
        .reply_to = text_of(e->reply_to, arena, &ok),
        .expiration = e->content.body.len % 2 == 0 ? NULL : "1000",
        .delivery_mode = 2,
        .priority = (int)e->priority,
        .exchange = text_of(e->exchange, arena, &ok),
        .routing_key = text_of(e->routing_key, arena, &ok),
        .delivery_tag = text_of(e->delivery_tag, arena, &ok),
    };

    if (!ok)
        return; /* a NUL within a text cannot be handed on */
    celery_envelope_encode(&buf, &out);
    HOLDS(celery_buf_status(&buf) == CELERY_OK);
    HOLDS(
        celery_envelope_decode(celery_buf_str(&buf), NULL, arena, &again, NULL)
        == CELERY_OK);
    same(e, &again);
    struct celery_json text = celery_json_get(again.properties, "expiration");
    HOLDS(celery_json_is(text, "1000") == (out.expiration != NULL));
    HOLDS(fuzz_is_int(celery_json_get(again.properties, "delivery_mode"), 2));
    celery_buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_envelope e;
    struct celery_error err = {.status = CELERY_OK};

    enum celery_status status =
        celery_envelope_decode(fuzz_str(data, size), &limits, &arena, &e, &err);
    if (status == CELERY_OK) {
        check_picked(&e, &arena);
        send_on(&e, &arena);
    } else {
        HOLDS(err.status == status && err.msg[0] != '\0');
    }
    celery_arena_done(&arena);
    return 0;
}
