/* SPDX-License-Identifier: MIT */
/*
 * The names of the messages that wait, oldest first, by queue: one directory
 * read at the start, then kept up by inotify. A read per claim would be
 * quadratic in the backlog.
 */
#ifndef BROKER_SPOOL_SPOOL_INDEX_H
#define BROKER_SPOOL_SPOOL_INDEX_H

#include <stdbool.h>
#include <stddef.h>

struct spool_names {
    char *queue;
    char **names; /* names[head] … names[count - 1], sorted */
    size_t head;
    size_t count;
    size_t cap;
};

struct spool_index {
    struct spool_names *queues;
    size_t queue_count;
};

void spool_index_done(struct spool_index *index);

/* The queue a file name belongs to: what stands between its first dot and a
 * final ".msg", as kombu 5.7 reads it. false for what is no message. */
bool spool_queue_of(const char *name, const char **ret_queue, size_t *ret_len);

/* Notes that the file waits; a name that is known already is not added. */
void spool_index_add(struct spool_index *index, const char *name);

/* Takes out one name; false when it is not there. */
bool spool_index_remove(struct spool_index *index, const char *name);

/* Moves what waits in queue of from to index. */
void spool_index_move(struct spool_index *index, struct spool_index *from,
                      const char *queue);

/* The oldest name of queue, taken out; NULL when none waits. The caller frees. */
char *spool_index_take(struct spool_index *index, const char *queue);

size_t spool_index_count(const struct spool_index *index, const char *queue);

#endif /* BROKER_SPOOL_SPOOL_INDEX_H */
