/* SPDX-License-Identifier: MIT */
/*
 * Operations handed from many threads to the one that owns a connection, in
 * batches. The eventfd is written only when the queue was empty, so a busy
 * owner costs its callers no system call. Items are intrusive: the caller's
 * struct holds a struct op, and belongs to the owner once it is pushed.
 */
#ifndef BASE_OP_QUEUE_H
#define BASE_OP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/lock.h"

struct op {
    struct op *next;
};

struct op_queue {
    struct lock lock;
    struct op *head;
    struct op **tail;
    size_t count;
    int fd; /* eventfd: readable while there is something */
};

void op_queue_init(struct op_queue *queue);

/* What is still queued is forgotten: drain before. */
void op_queue_done(struct op_queue *queue);

/* thread: any */
void op_queue_push(struct op_queue *queue, struct op *op);

/* thread: the owner. Takes all, oldest first, and clears the eventfd; NULL when
 * there is nothing. */
struct op *op_queue_take(struct op_queue *queue);

size_t op_queue_count(struct op_queue *queue);

#endif /* BASE_OP_QUEUE_H */
