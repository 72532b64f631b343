/* SPDX-License-Identifier: MIT */
#include "celery/dead_letter.h"

#include "broker/broker.h"
#include "celery/message.h"

struct shown {
    celery_dead_fn fn;
    void *arg;
};

static struct celery_str text_at(struct celery_json facts, const char *key,
                                 struct celery_arena *arena)
{
    struct celery_str text = {NULL, 0};
    if (celery_json_string(celery_json_get(facts, key), arena, &text)
        != CELERY_OK)
        return (struct celery_str){NULL, 0};
    return text;
}

static void read_facts(struct celery_str text, struct celery_arena *arena,
                       struct celery_dead_letter *ret)
{
    struct celery_json facts;
    if (text.len == 0
        || celery_json_parse(text, NULL, &facts, NULL) != CELERY_OK)
        return;
    ret->reason = text_at(facts, "x-dead-reason", arena);
    ret->detail = text_at(facts, "x-dead-detail", arena);
    (void)celery_json_double(celery_json_get(facts, "x-dead-at"), &ret->at_s);
}

/* Whatever the message's content, of which nothing is refused here. */
static void read_message(struct celery_str text, struct celery_arena *arena,
                         struct celery_dead_letter *ret)
{
    struct celery_envelope envelope;
    struct celery_message message = {.protocol = 0};
    if (celery_envelope_decode(text, NULL, arena, &envelope, NULL) != CELERY_OK)
        return;
    /* A refused message still says its name and id. */
    enum celery_status ignored =
        celery_message_decode(&envelope, CELERY_ACCEPT_JSON, NULL, arena,
                              &message, NULL);
    (void)ignored;
    ret->task = message.task;
    ret->id = message.id;
}

static enum broker_dead_action show(void *arg, const struct broker_dead *entry)
{
    static const enum broker_dead_action actions[] = {
        [CELERY_DEAD_KEEP] = BROKER_DEAD_KEEP,
        [CELERY_DEAD_REPLAY] = BROKER_DEAD_REPLAY,
        [CELERY_DEAD_PURGE] = BROKER_DEAD_PURGE,
        [CELERY_DEAD_STOP] = BROKER_DEAD_STOP,
    };
    const struct shown *shown = arg;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_dead_letter letter = {.message = entry->message};
    read_facts(entry->facts, &arena, &letter);
    read_message(entry->message, &arena, &letter);
    enum celery_dead_action action = shown->fn(shown->arg, &letter);
    celery_arena_done(&arena);
    return actions[action];
}

enum celery_status celery_dead_letters(
    const struct celery_producer_options *options, const char *queue,
    celery_dead_fn fn, void *arg, struct celery_dead_counts *ret,
    struct celery_error *err)
{
    const struct broker_options broker_options = {
        .url = options->broker_url,
        .transport_options = options->transport_options,
        .timeout_s = options->timeout_s,
        .client_name = "celery-c-dead",
    };
    struct broker_dead_counts counts = {0};
    struct shown shown = {fn, arg};
    struct broker *broker = NULL;
    *ret = (struct celery_dead_counts){0};
    enum celery_status st = broker_open(&broker_options, &broker, err);
    if (st != CELERY_OK)
        return st;
    st = broker_dead_each(broker, queue, show, &shown, &counts, err);
    broker_close(broker);
    *ret = (struct celery_dead_counts){counts.kept, counts.replayed,
                                       counts.purged};
    return st;
}
