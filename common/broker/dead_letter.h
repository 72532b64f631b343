/* SPDX-License-Identifier: MIT */
/*
 * The entry of a dead-letter queue, the same on every broker that has no headers
 * of its own: one line of JSON with the facts (x-dead-reason, x-dead-queue,
 * x-dead-at, x-dead-detail), a newline, then the message byte for byte.
 */
#ifndef BROKER_DEAD_LETTER_H
#define BROKER_DEAD_LETTER_H

#include "celery/buf.h"

void broker_dead_entry(struct celery_buf *buf, const char *queue,
                       const char *reason, const char *detail,
                       struct celery_str raw);

/* The same for a message that killed count workers. */
void broker_dead_poison(struct celery_buf *buf, const char *queue,
                        unsigned count, struct celery_str raw);

/* Takes an entry apart; without a first line of facts all of it is the message. */
void broker_dead_parse(struct celery_str entry, struct celery_str *ret_facts,
                       struct celery_str *ret_message);

/* Appends the message as a replay publishes it: its deliveries start anew. */
void broker_dead_revive(struct celery_buf *buf, struct celery_str message);

#endif /* BROKER_DEAD_LETTER_H */
