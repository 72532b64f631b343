/* SPDX-License-Identifier: MIT */
/*
 * Claiming is a rename into our own folder: one worker wins, and the message
 * stays on disk until it is settled. kombu opens a file under its final name,
 * then locks it, then writes: a young file that is empty, locked or cut is put
 * back and looked at again before it counts as undecodable.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/dead_letter.h"
#include "broker/spool/spool_broker.h"
#include "log/log.h"

enum {
    CLAIM_BYTES = 1 << 20,
    YOUNG_S = 1,
    YOUNG_EVERY_MS = 200,
    MESSAGE_BYTES_MAX = 64 << 20
};

enum taken {
    TAKEN_GOOD,
    TAKEN_GONE,
    TAKEN_YOUNG,     /* or cannot be read now */
    TAKEN_BROKEN,    /* read as a whole: no message */
    TAKEN_OVERSIZED, /* stays on disk as it is */
};

static bool complete(struct celery_str raw)
{
    return raw.len >= 2 && raw.data[0] == '{' && raw.data[raw.len - 1] == '}';
}

static bool is_young(const struct stat *info)
{
    return (double)clock_wall_us() / USEC_PER_SEC - (double)info->st_mtim.tv_sec
             - (double)info->st_mtim.tv_nsec / 1e9
         < YOUNG_S;
}

/* Reads all of fd. False: an error of the disk, or no memory. */
static bool read_all(int fd, struct celery_buf *buf)
{
    char chunk[16384];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n == 0)
            return celery_buf_status(buf) == CELERY_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        celery_buf_append(buf, (struct celery_str){chunk, (size_t)n});
    }
}

static enum taken read_claim(int fd, struct celery_buf *raw)
{
    struct stat info = {0};
    bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0;
    if (fstat(fd, &info) != 0 || locked)
        return TAKEN_YOUNG;
    if (S_ISREG(info.st_mode) && info.st_size > MESSAGE_BYTES_MAX)
        return is_young(&info) ? TAKEN_YOUNG : TAKEN_OVERSIZED;
    if (S_ISREG(info.st_mode) && !read_all(fd, raw))
        return TAKEN_YOUNG;
    if (complete(celery_buf_str(raw)))
        return TAKEN_GOOD;
    return is_young(&info) ? TAKEN_YOUNG : TAKEN_BROKEN;
}

/* Back where it was, but out of the way: whoever writes it may have been stopped,
 * and what stands behind it need not wait. Its end is told (IN_CLOSE_WRITE) or
 * found when it is looked at again. */
static void put_aside(struct spool_broker *sb, const char *name)
{
    spool_index_add(&sb->young, name);
    sb->young_due_us = clock_monotonic_us() + YOUNG_EVERY_MS * USEC_PER_MSEC;
    (void)renameat(sb->own_dir, name, sb->queue_dir, name);
}

static enum taken take(struct spool_broker *sb, const char *name,
                       struct celery_buf *raw)
{
    if (renameat(sb->queue_dir, name, sb->own_dir, name) != 0)
        return TAKEN_GONE; /* a neighbour was faster, or the folder was emptied */
    /* A pipe or a device is not waited for. */
    int fd = openat(sb->own_dir, name,
                    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return TAKEN_GONE;
    if (fd
        < 0) /* a link is no message; too many open files is no fault of it */
        return errno == ELOOP ? TAKEN_BROKEN : TAKEN_YOUNG;
    enum taken taken = read_claim(fd, raw);
    (void)close(fd);
    if (taken != TAKEN_GOOD && taken != TAKEN_BROKEN)
        celery_buf_clear(raw);
    return taken;
}

static const char started_suffix[] = ".started";

bool spool_claim_name(const char *tag, char ret[SPOOL_NAME_MAX])
{
    size_t len = strlen(tag);
    size_t suffix = sizeof started_suffix - 1;
    bool started =
        len > suffix && strcmp(tag + len - suffix, started_suffix) == 0;
    (void)snprintf(ret, SPOOL_NAME_MAX, "%s", tag);
    if (started && len - suffix < SPOOL_NAME_MAX)
        ret[len - suffix] = '\0';
    return started;
}

static enum celery_status bury(struct spool_broker *sb, const char *name,
                               const char *queue, const char *reason,
                               const char *detail, struct celery_str raw,
                               struct celery_error *err)
{
    struct celery_buf entry = CELERY_BUF_INIT;
    char file[SPOOL_NAME_MAX];
    (void)spool_claim_name(name, file);
    broker_dead_entry(&entry, queue, reason, detail, raw);
    enum celery_status st =
        spool_write(sb->dead_dir, file, celery_buf_str(&entry), err);
    celery_buf_done(&entry);
    if (st == CELERY_OK)
        (void)unlinkat(sb->own_dir, name, 0);
    return st;
}

/* The file becomes its own dead letter, without a line of facts: it would have to
 * be copied. */
static void bury_whole(struct spool_broker *sb, const char *name,
                       const char *queue)
{
    bool moved = renameat(sb->own_dir, name, sb->dead_dir, name) == 0;
    LOG_EVENT(LOG_LEVEL_ERROR, "message_refused", LOG_STR("queue", queue),
              LOG_STR("file", name), LOG_STR("reason", "too_large"),
              LOG_INT("limit", MESSAGE_BYTES_MAX),
              LOG_STR("msg", moved ? "moved to the dead letters as it is"
                                   : "stays among the claims, since it cannot "
                                     "be moved to the dead letters"));
}

/* *ret_stop: nothing more to take from this queue now. */
static enum celery_status claim_next(struct spool_broker *sb, size_t queue,
                                     struct broker_delivery *ret,
                                     bool *ret_taken, bool *ret_stop,
                                     struct celery_error *err)
{
    const char *queue_name = sb->broker.queues[queue].name;
    enum celery_status st = CELERY_OK;
    *ret_taken = false;
    char *name = spool_index_take(&sb->index, queue_name);
    *ret_stop = name == NULL;
    if (name == NULL)
        return CELERY_OK;
    struct celery_buf raw = CELERY_BUF_INIT;
    switch (take(sb, name, &raw)) {
    case TAKEN_GOOD:
        *ret = (struct broker_delivery){.queue = queue, .raw = raw};
        (void)snprintf(ret->tag, sizeof ret->tag, "%s", name);
        raw = CELERY_BUF_INIT;
        *ret_taken = true;
        break;
    case TAKEN_GONE:
        break;
    case TAKEN_YOUNG:
        put_aside(sb, name);
        break;
    case TAKEN_BROKEN:
        st = bury(sb, name, queue_name, "undecodable", "not a JSON object",
                  celery_buf_str(&raw), err);
        break;
    case TAKEN_OVERSIZED:
        bury_whole(sb, name, queue_name);
        break;
    }
    celery_buf_done(&raw);
    free(name);
    return st;
}

enum celery_status spool_claim(struct broker *broker, size_t max,
                               struct broker_delivery *ret, size_t *ret_count,
                               struct celery_error *err)
{
    struct spool_broker *sb = spool_broker(broker);
    size_t bytes = 0;
    *ret_count = 0;
    if (max > BROKER_CLAIM_MAX)
        max = BROKER_CLAIM_MAX;
    bool look_again = clock_monotonic_us() >= sb->young_due_us;
    for (size_t i = 0; i < broker->queue_count && look_again; i++)
        spool_index_move(&sb->index, &sb->young, broker->queues[i].name);
    for (size_t i = 0; i < broker->queue_count; i++) {
        size_t queue = (sb->rotation + i) % broker->queue_count;
        bool stop = !broker->queues[queue].active;
        while (!stop && *ret_count < max && bytes < CLAIM_BYTES) {
            bool taken = false;
            enum celery_status st =
                claim_next(sb, queue, &ret[*ret_count], &taken, &stop, err);
            if (st != CELERY_OK)
                return *ret_count > 0 ? CELERY_OK : st;
            if (taken)
                bytes += ret[(*ret_count)++].raw.len;
        }
    }
    if (broker->queue_count > 0)
        sb->rotation = (sb->rotation + 1) % broker->queue_count;
    return CELERY_OK;
}

static bool settle_one(struct spool_broker *sb, struct broker_settlement *s,
                       enum celery_status *st, struct celery_error *err)
{
    const char *queue = sb->broker.queues[s->queue].name;
    char name[SPOOL_NAME_MAX];
    (void)spool_claim_name(s->tag, name);
    switch (s->how) {
    case BROKER_ACK:
        return unlinkat(sb->own_dir, s->tag, 0) == 0;
    case BROKER_GIVE_BACK:
        return renameat(sb->own_dir, s->tag, sb->queue_dir, name) == 0;
    case BROKER_REQUEUE:
        spool_name(queue, name);
        return renameat(sb->own_dir, s->tag, sb->queue_dir, name) == 0;
    case BROKER_DEAD_LETTER:
        if (faccessat(sb->own_dir, s->tag, F_OK, 0) != 0)
            return false;
        *st = bury(sb, s->tag, queue, s->reason, s->detail, s->raw, err);
        return true;
    }
    return true;
}

enum celery_status spool_settle(struct broker *broker,
                                struct broker_settlement *settlements,
                                size_t count, struct celery_error *err)
{
    struct spool_broker *sb = spool_broker(broker);
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < count && st == CELERY_OK; i++)
        settlements[i].lost = !settle_one(sb, &settlements[i], &st, err);
    return st;
}

enum celery_status spool_fence(struct broker *broker, char *tag, bool starting,
                               struct celery_buf *raw, bool *ret_ours,
                               struct celery_error *err)
{
    struct spool_broker *sb = spool_broker(broker);
    char name[SPOOL_NAME_MAX];
    if (starting && !spool_claim_name(tag, name)) {
        char started[BROKER_TAG_MAX + sizeof started_suffix];
        (void)snprintf(started, sizeof started, "%s%s", tag, started_suffix);
        if (strlen(started) < BROKER_TAG_MAX
            && renameat(sb->own_dir, tag, sb->own_dir, started) == 0)
            (void)snprintf(tag, BROKER_TAG_MAX, "%.*s", BROKER_TAG_MAX - 1,
                           started);
    }
    *ret_ours = faccessat(sb->own_dir, tag, F_OK, 0) == 0;
    if (!*ret_ours || raw == NULL)
        return CELERY_OK;
    enum celery_status st = spool_read(sb->own_dir, tag, raw, err);
    if (st == CELERY_CLOSED) {
        *ret_ours = false;
        return CELERY_OK;
    }
    return st;
}
