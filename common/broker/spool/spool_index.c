/* SPDX-License-Identifier: MIT */
#include "broker/spool/spool_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/* A longer one could not be a delivery's tag. */
enum { NAME_LEN_MAX = 192 };

void spool_index_done(struct spool_index *index)
{
    for (size_t q = 0; q < index->queue_count; q++) {
        struct spool_names *list = &index->queues[q];
        for (size_t i = list->head; i < list->count; i++)
            free(list->names[i]);
        free(list->names);
        free(list->queue);
    }
    free(index->queues);
    *index = (struct spool_index){0};
}

bool spool_queue_of(const char *name, const char **ret_queue, size_t *ret_len)
{
    static const char suffix[] = ".msg";
    const char *dot = strchr(name, '.');
    size_t len = strlen(name);
    if (dot == NULL || dot == name || len < sizeof suffix
        || strcmp(name + len - (sizeof suffix - 1), suffix) != 0)
        return false;
    const char *end = name + len - (sizeof suffix - 1);
    if (end <= dot + 1)
        return false;
    *ret_queue = dot + 1;
    *ret_len = (size_t)(end - dot - 1);
    return true;
}

/* The number in front is a host's monotonic milliseconds; its digits grow. */
static int compare(const char *a, const char *b)
{
    unsigned long long x = strtoull(a, NULL, 10);
    unsigned long long y = strtoull(b, NULL, 10);
    if (x != y)
        return x < y ? -1 : 1;
    return strcmp(a, b);
}

static struct spool_names *find(const struct spool_index *index,
                                const char *queue, size_t len)
{
    for (size_t i = 0; i < index->queue_count; i++) {
        if (strlen(index->queues[i].queue) == len
            && memcmp(index->queues[i].queue, queue, len) == 0)
            return &index->queues[i];
    }
    return NULL;
}

static struct spool_names *find_or_add(struct spool_index *index,
                                       const char *queue, size_t len)
{
    struct spool_names *list = find(index, queue, len);
    if (list != NULL)
        return list;
    index->queues = xrealloc(index->queues, (index->queue_count + 1)
                                                * sizeof index->queues[0]);
    list = &index->queues[index->queue_count++];
    *list = (struct spool_names){.queue = xstrndup(queue, len)};
    return list;
}

/* Makes room for one more at the end. */
static void reserve(struct spool_names *list)
{
    if (list->count < list->cap)
        return;
    if (list->head > list->cap / 2) {
        memmove(list->names, list->names + list->head,
                (list->count - list->head) * sizeof list->names[0]);
        list->count -= list->head;
        list->head = 0;
        return;
    }
    list->cap = list->cap == 0 ? 64 : list->cap * 2;
    list->names = xrealloc(list->names, list->cap * sizeof list->names[0]);
}

/* Where name stands or would stand. */
static size_t locate(const struct spool_names *list, const char *name,
                     bool *ret_found)
{
    size_t low = list->head;
    size_t high = list->count;
    *ret_found = false;
    /* Nearly always it is the newest. */
    if (high > low && compare(list->names[high - 1], name) < 0)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(list->names[middle], name);
        *ret_found = order == 0;
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void spool_index_add(struct spool_index *index, const char *name)
{
    const char *queue = NULL;
    size_t len = 0;
    if (!spool_queue_of(name, &queue, &len) || strlen(name) >= NAME_LEN_MAX)
        return;
    struct spool_names *list = find_or_add(index, queue, len);
    bool known = false;
    size_t low = locate(list, name, &known);
    if (known)
        return;
    size_t after = list->count - low;
    reserve(list);
    low = list->count - after;
    memmove(list->names + low + 1, list->names + low,
            after * sizeof list->names[0]);
    list->names[low] = xstrdup(name);
    list->count++;
}

bool spool_index_remove(struct spool_index *index, const char *name)
{
    const char *queue = NULL;
    size_t len = 0;
    bool known = false;
    struct spool_names *list =
        spool_queue_of(name, &queue, &len) ? find(index, queue, len) : NULL;
    size_t at = list != NULL ? locate(list, name, &known) : 0;
    if (!known)
        return false;
    free(list->names[at]);
    memmove(list->names + at, list->names + at + 1,
            (list->count - at - 1) * sizeof list->names[0]);
    list->count--;
    return true;
}

void spool_index_move(struct spool_index *index, struct spool_index *from,
                      const char *queue)
{
    char *name = NULL;
    while ((name = spool_index_take(from, queue)) != NULL) {
        spool_index_add(index, name);
        free(name);
    }
}

char *spool_index_take(struct spool_index *index, const char *queue)
{
    struct spool_names *list = find(index, queue, strlen(queue));
    if (list == NULL || list->head == list->count)
        return NULL;
    return list->names[list->head++];
}

size_t spool_index_count(const struct spool_index *index, const char *queue)
{
    const struct spool_names *list = find(index, queue, strlen(queue));
    return list != NULL ? list->count - list->head : 0;
}
