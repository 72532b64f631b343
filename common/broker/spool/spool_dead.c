/* SPDX-License-Identifier: MIT */
/*
 * The dead letters of a queue: the files of dead/ whose name says the queue, each
 * as broker/dead_letter.h has it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "broker/dead_letter.h"
#include "broker/spool/spool_broker.h"

struct names {
    char **items;
    size_t count;
};

static bool is_of(const char *file, const char *queue)
{
    const char *name = NULL;
    size_t len = 0;
    return spool_queue_of(file, &name, &len) && strlen(queue) == len
        && memcmp(name, queue, len) == 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Oldest first: a name starts with the time of the publish. */
static struct names names_of(struct spool_broker *sb, const char *queue)
{
    struct names names = {NULL, 0};
    int fd = openat(sb->dead_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return names;
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        if (!is_of(entry->d_name, queue))
            continue;
        names.items =
            xrealloc(names.items, (names.count + 1) * sizeof names.items[0]);
        names.items[names.count++] = xstrdup(entry->d_name);
    }
    (void)closedir(dir);
    if (names.count > 1)
        qsort(names.items, names.count, sizeof names.items[0], by_text);
    return names;
}

size_t spool_dead_count(struct spool_broker *sb, const char *queue)
{
    struct names names = names_of(sb, queue);
    for (size_t i = 0; i < names.count; i++)
        free(names.items[i]);
    free(names.items);
    return names.count;
}

/* The message stands in the queue before its entry goes: a kill between the two
 * leaves both. */
static enum celery_status replay(struct spool_broker *sb, const char *file,
                                 const char *queue, struct celery_str message,
                                 struct celery_error *err)
{
    char name[SPOOL_NAME_MAX];
    struct celery_buf revived = CELERY_BUF_INIT;
    broker_dead_revive(&revived, message);
    spool_name(queue, name);
    enum celery_status st =
        spool_write(sb->queue_dir, name, celery_buf_str(&revived), err);
    celery_buf_done(&revived);
    if (st == CELERY_OK)
        (void)unlinkat(sb->dead_dir, file, 0);
    return st;
}

static enum celery_status handle_file(struct spool_broker *sb, const char *file,
                                      const char *queue, broker_dead_fn fn,
                                      void *arg, struct broker_dead_counts *ret,
                                      bool *ret_stop, struct celery_error *err)
{
    struct celery_buf text = CELERY_BUF_INIT;
    struct broker_dead entry;
    enum celery_status st = spool_read(sb->dead_dir, file, &text, err);
    if (st != CELERY_OK) {
        celery_buf_done(&text);
        return st == CELERY_CLOSED ? CELERY_OK
                                   : st; /* another client took it */
    }
    broker_dead_parse(celery_buf_str(&text), &entry.facts, &entry.message);
    enum broker_dead_action action = fn(arg, &entry);
    *ret_stop = action == BROKER_DEAD_STOP;
    if (action == BROKER_DEAD_REPLAY) {
        st = replay(sb, file, queue, entry.message, err);
        ret->replayed += st == CELERY_OK;
    } else if (action == BROKER_DEAD_PURGE) {
        ret->purged += unlinkat(sb->dead_dir, file, 0) == 0;
    } else {
        ret->kept++;
    }
    celery_buf_done(&text);
    return st;
}

enum celery_status spool_dead_each(struct broker *broker, const char *queue,
                                   broker_dead_fn fn, void *arg,
                                   struct broker_dead_counts *ret,
                                   struct celery_error *err)
{
    struct spool_broker *sb = spool_broker(broker);
    struct names names = names_of(sb, queue);
    enum celery_status st = CELERY_OK;
    bool stop = false;
    for (size_t i = 0; i < names.count; i++) {
        if (st == CELERY_OK && !stop)
            st = handle_file(sb, names.items[i], queue, fn, arg, ret, &stop,
                             err);
        free(names.items[i]);
    }
    free(names.items);
    return st;
}
