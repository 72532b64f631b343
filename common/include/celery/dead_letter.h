/* SPDX-License-Identifier: MIT */
/*
 * Dead letters: the messages that no worker could run, kept with the reason. Lists
 * them, sends them back to their queue, deletes them.
 *
 * Where they are: on Redis the list <queue>.dead, in a spool folder dead/, on
 * RabbitMQ the queue <queue>.dead. "unacked" is the name for what stood in Redis'
 * table of claims and was none.
 */
#ifndef CELERY_DEAD_LETTER_H
#define CELERY_DEAD_LETTER_H

#include <stddef.h>

#include "celery/producer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Borrowed until the handler returns; texts that are not known are empty. */
struct celery_dead_letter {
    struct celery_str reason; /* "unknown_task", "undecodable", "poison", … */
    struct celery_str detail; /* for people */
    double at_s;              /* when it was given up; 0: not known */
    struct celery_str task;   /* as far as the message can be read */
    struct celery_str id;
    struct celery_str message; /* the envelope, byte for byte */
};

enum celery_dead_action {
    CELERY_DEAD_KEEP,
    CELERY_DEAD_REPLAY, /* to the end of its queue */
    CELERY_DEAD_PURGE,  /* deleted for good */
    CELERY_DEAD_STOP,   /* kept, and the last one to be shown */
};

typedef enum celery_dead_action (*celery_dead_fn)(
    void *arg, const struct celery_dead_letter *letter);

struct celery_dead_counts {
    size_t kept;
    size_t replayed;
    size_t purged;
};

/* Opens a connection of its own, shows fn each dead letter of queue, oldest first,
 * and does with it what fn says. ret is set on failure too. A replay that is cut
 * off may leave both the entry and its copy; nothing is lost. thread: any.
 * Errors as celery_producer_send(). */
CELERY_API enum celery_status celery_dead_letters(
    const struct celery_producer_options *options, const char *queue,
    celery_dead_fn fn, void *arg, struct celery_dead_counts *ret,
    struct celery_error *err) CELERY_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif /* CELERY_DEAD_LETTER_H */
