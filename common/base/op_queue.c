/* SPDX-License-Identifier: MIT */
#include "base/op_queue.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

void op_queue_init(struct op_queue *queue)
{
    *queue = (struct op_queue){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    (void)pthread_mutex_init(&queue->lock.mutex, NULL);
    queue->tail = &queue->head;
    if (queue->fd < 0) {
        perror("eventfd");
        abort();
    }
}

void op_queue_done(struct op_queue *queue)
{
    if (queue->tail == NULL)
        return;
    (void)close(queue->fd);
    (void)pthread_mutex_destroy(&queue->lock.mutex);
    *queue = (struct op_queue){.fd = -1};
}

void op_queue_push(struct op_queue *queue, struct op *op)
{
    op->next = NULL;
    lock_acquire(&queue->lock);
    bool wake = queue->head == NULL;
    *queue->tail = op;
    queue->tail = &op->next;
    queue->count++;
    lock_release(&queue->lock);
    if (wake) {
        uint64_t one = 1;
        ssize_t n = write(queue->fd, &one, sizeof one);
        (void)n; /* EAGAIN: the counter is set already */
    }
}

struct op *op_queue_take(struct op_queue *queue)
{
    uint64_t count = 0;
    ssize_t n = read(queue->fd, &count, sizeof count);
    (void)n; /* EAGAIN: nothing was signalled */
    lock_acquire(&queue->lock);
    struct op *head = queue->head;
    queue->head = NULL;
    queue->tail = &queue->head;
    queue->count = 0;
    lock_release(&queue->lock);
    return head;
}

size_t op_queue_count(struct op_queue *queue)
{
    lock_acquire(&queue->lock);
    size_t count = queue->count;
    lock_release(&queue->lock);
    return count;
}
