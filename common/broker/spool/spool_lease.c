/* SPDX-License-Identifier: MIT */
/*
 * Liveness is a lock, not a clock: a worker holds claims/<uuid>.lock as long as
 * it lives. Whoever gets the lock of a worker that is gone renames its claims
 * back under their old names.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random_id.h"
#include "base/xalloc.h"
#include "broker/dead_letter.h"
#include "broker/deliveries.h"
#include "broker/spool/spool_broker.h"
#include "celery/json_scan.h"
#include "log/log.h"

enum { AGE_OUT_S = 60, LOCK_TRIES = 10 };

static bool still_linked(int dir, const char *name, int fd)
{
    struct stat by_name = {0};
    struct stat by_fd = {0};
    return fstatat(dir, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0
        && fstat(fd, &by_fd) == 0 && by_name.st_ino == by_fd.st_ino;
}

/* A neighbour may take our new lock file for a dead worker's between open and
 * flock, and unlink it: then another one is made. */
enum celery_status spool_lease_take(struct spool_broker *sb,
                                    struct celery_error *err)
{
    char name[64];
    for (int i = 0; i < LOCK_TRIES; i++) {
        random_id(sb->uuid);
        (void)snprintf(name, sizeof name, "%s.lock", sb->uuid);
        int fd = openat(sb->claims_dir, name,
                        O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return celery_fail(err, CELERY_IO, "cannot create %s/claims/%s: %s",
                               sb->root, name, strerrordesc_np(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) == 0
            && still_linked(sb->claims_dir, name, fd)) {
            sb->lock_fd = fd;
            if (mkdirat(sb->claims_dir, sb->uuid, 0700) != 0
                || (sb->own_dir = openat(sb->claims_dir, sb->uuid,
                                         O_RDONLY | O_DIRECTORY | O_CLOEXEC))
                       < 0)
                return celery_fail(err, CELERY_IO,
                                   "cannot create %s/claims/%s: %s", sb->root,
                                   sb->uuid, strerrordesc_np(errno));
            return CELERY_OK;
        }
        (void)close(fd);
    }
    return celery_fail(err, CELERY_IO, "cannot lock a file in %s/claims",
                       sb->root);
}

void spool_lease_release(struct spool_broker *sb)
{
    char name[64];
    if (sb->lock_fd < 0)
        return;
    (void)snprintf(name, sizeof name, "%s.lock", sb->uuid);
    /* Claims that are left stay with their lock file for a neighbour. */
    if (unlinkat(sb->claims_dir, sb->uuid, AT_REMOVEDIR) == 0)
        (void)unlinkat(sb->claims_dir, name, 0);
    (void)close(sb->lock_fd);
    sb->lock_fd = -1;
}

static DIR *open_folder(int parent, const char *name)
{
    int fd =
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    DIR *dir = fdopendir(fd);
    if (dir == NULL)
        (void)close(fd);
    return dir;
}

/* Writes the claim anew with its deliveries counted, or to the dead letters when
 * it has killed too many; false: it stays as it is. */
static bool count_delivery(struct spool_broker *sb, int dir, const char *tag,
                           const char *name, bool started,
                           struct celery_json envelope, bool *ret_dead)
{
    struct celery_buf text = CELERY_BUF_INIT;
    struct celery_str queue = {NULL, 0};
    unsigned before = broker_deliveries(celery_json_get(envelope, "headers"));
    unsigned count = broker_deliveries_next(before, started);
    *ret_dead = sb->max_deliveries > 0 && count >= sb->max_deliveries;
    if (*ret_dead) {
        (void)spool_queue_of(name, &queue.data, &queue.len);
        char *queue_name = xstrndup(queue.data, queue.len);
        broker_dead_poison(&text, queue_name, count, envelope.text);
        free(queue_name);
    } else {
        broker_deliveries_put(&text, envelope, count);
    }
    bool good = (!*ret_dead && count == before)
             || spool_write(*ret_dead ? sb->dead_dir : dir, name,
                            celery_buf_str(&text), NULL)
                    == CELERY_OK;
    celery_buf_done(&text);
    if (!good)
        return false;
    if (*ret_dead || (started && count != before))
        return unlinkat(dir, tag, 0) == 0;
    return !started || renameat(dir, tag, dir, name) == 0;
}

static bool give_back_one(struct spool_broker *sb, int dir, const char *tag)
{
    char name[SPOOL_NAME_MAX];
    struct celery_buf raw = CELERY_BUF_INIT;
    struct celery_json envelope;
    bool dead = false;
    bool good = true;
    bool started = spool_claim_name(tag, name);
    if (spool_read(dir, tag, &raw, NULL) == CELERY_OK
        && celery_json_parse(celery_buf_str(&raw), NULL, &envelope, NULL)
               == CELERY_OK
        && envelope.type == CELERY_JSON_OBJECT)
        good = count_delivery(sb, dir, tag, name, started, envelope, &dead);
    else if (started)
        good = renameat(dir, tag, dir, name) == 0;
    celery_buf_done(&raw);
    return good && (dead || renameat(dir, name, sb->queue_dir, name) == 0);
}

static size_t give_back(struct spool_broker *sb, const char *uuid)
{
    size_t count = 0;
    DIR *dir = open_folder(sb->claims_dir, uuid);
    if (dir == NULL)
        return 0;
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        if (entry->d_name[0] != '.')
            count += give_back_one(sb, dirfd(dir), entry->d_name);
        else if (entry->d_name[1] != '\0' && entry->d_name[1] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, 0); /* half a write */
    }
    (void)closedir(dir);
    return count;
}

static void restore_if_dead(struct spool_broker *sb, const char *lock_name)
{
    char uuid[CELERY_TASK_ID_LEN + 1];
    int fd = openat(sb->claims_dir, lock_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0
        && still_linked(sb->claims_dir, lock_name, fd)) {
        (void)snprintf(uuid, sizeof uuid, "%.36s", lock_name);
        size_t count = give_back(sb, uuid);
        /* What could not be moved (a full disk) keeps its lock file: the next round
         * tries again. */
        if (unlinkat(sb->claims_dir, uuid, AT_REMOVEDIR) == 0
            || errno == ENOENT)
            (void)unlinkat(sb->claims_dir, lock_name, 0);
        if (count > 0)
            LOG_EVENT(LOG_LEVEL_WARNING, "orphans_restored",
                      LOG_STR("worker", uuid), LOG_INT("restored", count));
    }
    (void)close(fd);
}

static bool is_lock(const char *name)
{
    return strlen(name) == CELERY_TASK_ID_LEN + 5
        && strcmp(name + CELERY_TASK_ID_LEN, ".lock") == 0;
}

enum celery_status spool_restore_orphans(struct spool_broker *sb,
                                         struct celery_error *err)
{
    DIR *dir = open_folder(sb->claims_dir, ".");
    if (dir == NULL)
        return celery_fail(err, CELERY_CLOSED, "%s/claims is gone", sb->root);
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        if (is_lock(entry->d_name)
            && strncmp(entry->d_name, sb->uuid, CELERY_TASK_ID_LEN) != 0)
            restore_if_dead(sb, entry->d_name);
    }
    (void)closedir(dir);
    return CELERY_OK;
}

static bool is_passing(const char *name)
{
    const char *queue = NULL;
    size_t len = 0;
    static const char suffix[] = ".celery.pidbox";
    if (!spool_queue_of(name, &queue, &len))
        return false;
    return (len > 9 && memcmp(queue, "celeryev.", 9) == 0)
        || (len > sizeof suffix
            && memcmp(queue + len - (sizeof suffix - 1), suffix,
                      sizeof suffix - 1)
                   == 0);
}

/* Events, requests and replies for queues whose reader is gone: kombu leaves
 * them for ever. */
void spool_age_out(struct spool_broker *sb)
{
    DIR *dir = open_folder(sb->queue_dir, ".");
    if (dir == NULL)
        return;
    double now = (double)clock_wall_us() / USEC_PER_SEC;
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        struct stat info = {0};
        if (is_passing(entry->d_name)
            && fstatat(sb->queue_dir, entry->d_name, &info, 0) == 0
            && now - (double)info.st_mtim.tv_sec > AGE_OUT_S)
            (void)unlinkat(sb->queue_dir, entry->d_name, 0);
    }
    (void)closedir(dir);
}
