/* SPDX-License-Identifier: MIT */
/*
 * The spool driver: its folders, the listing kept up by inotify, and what
 * arrives in the pidbox.
 */
#include "broker/spool/spool_broker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "log/log.h"

enum {
    DEFAULT_TIMEOUT_S = 5,
    ORPHANS_EVERY_S = 2,
    BIND_EVERY_S = 2,
    AGE_EVERY_S = 300
};

enum celery_status spool_read(int dir, const char *name, struct celery_buf *buf,
                              struct celery_error *err)
{
    char chunk[16384];
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return celery_fail(err, CELERY_CLOSED, "%.100s is gone: %s", name,
                           strerrordesc_np(errno));
    ssize_t n = 0;
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        celery_buf_append(buf, (struct celery_str){chunk, (size_t)n});
    (void)close(fd);
    if (n < 0)
        return celery_fail(err, CELERY_IO, "reading %.100s failed", name);
    return celery_buf_status(buf);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

enum celery_status spool_drop(struct spool_broker *sb, enum celery_status st)
{
    spool_lease_release(sb);
    close_fd(&sb->lead_fd);
    close_fd(&sb->inotify_fd);
    close_fd(&sb->own_dir);
    close_fd(&sb->queue_dir);
    close_fd(&sb->control_dir);
    close_fd(&sb->claims_dir);
    close_fd(&sb->dead_dir);
    spool_index_done(&sb->index);
    spool_index_done(&sb->young);
    sb->bound = false;
    sb->broker.connected = false;
    return st;
}

static void spool_close(struct broker *broker)
{
    struct spool_broker *sb = spool_broker(broker);
    (void)spool_drop(sb, CELERY_OK);
    free(sb->root);
    free(sb->nodename);
    free(sb->pidbox);
    free(sb);
}

static enum celery_status spool_open(const struct broker_options *options,
                                     struct broker **ret,
                                     struct celery_error *err)
{
    struct url url = {0};
    enum celery_status st = url_parse(options->url, &url, err);
    if (st != CELERY_OK)
        return st;
    if (url.host != NULL || url.path[0] != '/' || url.path[1] == '\0') {
        st = celery_fail(err, CELERY_INVALID,
                         "'%.80s': accepted is filesystem:///absolute/folder",
                         options->url);
        url_done(&url);
        return st;
    }
    struct spool_broker *sb = xcalloc(1, sizeof *sb);
    sb->root = xstrdup(url.path);
    url_done(&url);
    sb->queue_dir = sb->control_dir = sb->claims_dir = -1;
    sb->own_dir = sb->dead_dir = sb->lock_fd = sb->inotify_fd = -1;
    sb->lead_fd = -1;
    sb->max_deliveries = options->max_deliveries;
    sb->timeout_us = (int64_t)((options->timeout_s > 0 ? options->timeout_s
                                                       : DEFAULT_TIMEOUT_S)
                               * USEC_PER_SEC);
    sb->on_broadcast = options->on_broadcast;
    sb->broadcast_arg = options->broadcast_arg;
    if (options->nodename != NULL) {
        sb->nodename = xstrdup(options->nodename);
        sb->pidbox = xasprintf("%s.celery.pidbox", options->nodename);
    }
    *ret = &sb->broker;
    return CELERY_OK;
}

static enum celery_status make_parents(const char *path,
                                       struct celery_error *err)
{
    char *copy = xstrdup(path);
    enum celery_status st = CELERY_OK;
    for (char *p = strchr(copy + 1, '/'); st == CELERY_OK;
         p = strchr(p + 1, '/')) {
        if (p != NULL)
            *p = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            st = celery_fail(err, CELERY_IO, "cannot create %.120s: %s", copy,
                             strerrordesc_np(errno));
        if (p == NULL)
            break;
        *p = '/';
    }
    free(copy);
    return st;
}

static enum celery_status open_folder(const char *root, const char *name,
                                      int *ret_fd, struct celery_error *err)
{
    char *path = xasprintf("%s/%s", root, name);
    struct stat info = {0};
    enum celery_status st = CELERY_OK;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        st = celery_fail(err, CELERY_IO, "cannot create %.120s: %s", path,
                         strerrordesc_np(errno));
    } else {
        *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (*ret_fd < 0 || fstat(*ret_fd, &info) != 0)
            st = celery_fail(err, CELERY_IO, "cannot open %.120s: %s", path,
                             strerrordesc_np(errno));
        else if (info.st_uid != geteuid() && info.st_uid != 0)
            st = celery_fail(err, CELERY_UNSUPPORTED,
                             "%.120s belongs to user %u, not to us", path,
                             (unsigned)info.st_uid);
        else if ((info.st_mode & 0022) != 0)
            st = celery_fail(err, CELERY_UNSUPPORTED,
                             "%.120s can be written by others; chmod 0700",
                             path);
    }
    free(path);
    return st;
}

static enum celery_status open_folders(struct spool_broker *sb,
                                       struct celery_error *err)
{
    enum celery_status st = make_parents(sb->root, err);
    if (st == CELERY_OK)
        st = open_folder(sb->root, "queue", &sb->queue_dir, err);
    if (st == CELERY_OK)
        st = open_folder(sb->root, "control", &sb->control_dir, err);
    if (st == CELERY_OK)
        st = open_folder(sb->root, "claims", &sb->claims_dir, err);
    if (st == CELERY_OK)
        st = open_folder(sb->root, "dead", &sb->dead_dir, err);
    return st;
}

static void list_queue(struct spool_broker *sb)
{
    int fd = openat(sb->queue_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        close_fd(&fd);
        return;
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe) */
        spool_index_add(&sb->index, entry->d_name);
    (void)closedir(dir);
}

static enum celery_status watch(struct spool_broker *sb,
                                struct celery_error *err)
{
    char *path = xasprintf("%s/queue", sb->root);
    sb->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    bool good = sb->inotify_fd >= 0
             && inotify_add_watch(sb->inotify_fd, path,
                                  IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF
                                      | IN_MOVE_SELF | IN_ONLYDIR)
                    >= 0;
    free(path);
    return good ? CELERY_OK
                : celery_fail(err, CELERY_IO, "cannot watch %s/queue: %s",
                              sb->root, strerrordesc_np(errno));
}

/* Tasks run without it too: a peer that was stopped with the table's lock in its
 * hand keeps us from remote control alone, and only until it lets go. */
static enum celery_status bind_pidbox(struct spool_broker *sb,
                                      int64_t timeout_us,
                                      struct celery_error *err)
{
    enum celery_status st =
        spool_bind(sb, "celery.pidbox", "", sb->pidbox, timeout_us, err);
    sb->bound = st == CELERY_OK;
    sb->bind_due_us =
        clock_monotonic_us() + (int64_t)BIND_EVERY_S * USEC_PER_SEC;
    if (st != CELERY_TIMEOUT)
        return st;
    if (timeout_us > 0)
        LOG_EVENT(LOG_LEVEL_WARNING, "pidbox_not_bound",
                  LOG_STR("error", err->msg),
                  LOG_STR("msg", "no remote control until then"));
    return CELERY_OK;
}

static enum celery_status spool_connect(struct broker *broker,
                                        struct celery_error *err)
{
    struct spool_broker *sb = spool_broker(broker);
    (void)spool_drop(sb, CELERY_OK);
    enum celery_status st = open_folders(sb, err);
    if (st == CELERY_OK && sb->nodename != NULL) {
        st = spool_lease_take(sb, err);
        if (st == CELERY_OK)
            st = watch(sb, err);
        if (st == CELERY_OK)
            st = bind_pidbox(sb, sb->timeout_us, err);
        if (st == CELERY_OK)
            list_queue(sb);
    }
    if (st != CELERY_OK)
        return spool_drop(sb, st);
    broker->connected = true;
    return CELERY_OK;
}

static size_t spool_fds(const struct broker *broker, struct pollfd *ret)
{
    const struct spool_broker *sb =
        (const struct spool_broker *)(const void *)broker;
    if (sb->inotify_fd < 0)
        return 0;
    ret[0] = (struct pollfd){sb->inotify_fd, POLLIN, 0};
    return 1;
}

/* Remote control arrives as files too; they are read once and removed. */
static void drain_pidbox(struct spool_broker *sb)
{
    char *name = NULL;
    while ((name = spool_index_take(&sb->index, sb->pidbox)) != NULL) {
        struct celery_buf raw = CELERY_BUF_INIT;
        if (spool_read(sb->queue_dir, name, &raw, NULL) == CELERY_OK
            && unlinkat(sb->queue_dir, name, 0) == 0
            && sb->on_broadcast != NULL)
            sb->on_broadcast(sb->broadcast_arg, "celery.pidbox",
                             celery_buf_str(&raw));
        celery_buf_done(&raw);
        free(name);
    }
}

static enum celery_status handle_event(struct spool_broker *sb,
                                       const struct inotify_event *event,
                                       bool *ret_wake, struct celery_error *err)
{
    if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0)
        return celery_fail(err, CELERY_CLOSED, "%s/queue was removed",
                           sb->root);
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        list_queue(sb);
    } else if (event->len > 0) {
        bool aside = spool_index_remove(&sb->young, event->name);
        /* What we, or a neighbour, have just put back is not looked at for that:
         * it would be put back again at once. */
        if (aside && (event->mask & IN_MOVED_TO) != 0) {
            spool_index_add(&sb->young, event->name);
            return CELERY_OK;
        }
        spool_index_add(&sb->index, event->name);
    }
    *ret_wake = true;
    return CELERY_OK;
}

static enum celery_status spool_receive(struct broker *broker, bool *ret_wake,
                                        struct celery_error *err)
{
    struct spool_broker *sb = spool_broker(broker);
    char buf[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    enum celery_status st = CELERY_OK;
    ssize_t n = 0;
    *ret_wake = false;
    while (st == CELERY_OK && (n = read(sb->inotify_fd, buf, sizeof buf)) > 0) {
        ssize_t at = 0;
        while (st == CELERY_OK && at < n) {
            const struct inotify_event *event =
                (const struct inotify_event *)(const void *)(buf + at);
            st = handle_event(sb, event, ret_wake, err);
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
    if (st != CELERY_OK)
        return spool_drop(sb, st);
    drain_pidbox(sb);
    return CELERY_OK;
}

static bool spool_wakes(const struct broker *broker)
{
    (void)broker;
    return true;
}

/* The lock says that we live; there is no clock to renew. */
static enum celery_status spool_renew(struct broker *broker,
                                      const struct broker_lease *leases,
                                      size_t count, struct celery_error *err)
{
    (void)broker;
    (void)leases;
    (void)count;
    (void)err;
    return CELERY_OK;
}

/* A removed folder lives on as long as we hold it open: nobody else sees what is
 * written there, and inotify does not tell. */
static bool is_removed(int dir)
{
    struct stat info = {0};
    return fstat(dir, &info) != 0 || info.st_nlink == 0;
}

static enum celery_status spool_maintain(struct broker *broker,
                                         struct celery_error *err)
{
    struct spool_broker *sb = spool_broker(broker);
    int64_t now = clock_monotonic_us();
    enum celery_status st = CELERY_OK;
    if (sb->nodename == NULL)
        return CELERY_OK;
    if (is_removed(sb->queue_dir) || is_removed(sb->own_dir))
        return spool_drop(sb, celery_fail(err, CELERY_CLOSED,
                                          "the folders of %s were removed",
                                          sb->root));
    if (now >= sb->orphans_due_us) {
        sb->orphans_due_us = now + (int64_t)ORPHANS_EVERY_S * USEC_PER_SEC;
        st = spool_restore_orphans(sb, err);
    }
    if (st == CELERY_OK && !sb->bound && now >= sb->bind_due_us)
        st = bind_pidbox(sb, 0, err);
    if (st == CELERY_OK && now >= sb->age_due_us) {
        sb->age_due_us = now + (int64_t)AGE_EVERY_S * USEC_PER_SEC;
        spool_age_out(sb);
    }
    return st != CELERY_OK ? spool_drop(sb, st) : st;
}

/* A claim is a rename: it cannot have happened without our knowing. */
static enum celery_status spool_reclaim(struct broker *broker,
                                        broker_known_fn known, void *arg,
                                        struct celery_error *err)
{
    (void)broker;
    (void)known;
    (void)arg;
    (void)err;
    return CELERY_OK;
}

static enum celery_status spool_declare(struct broker *broker,
                                        const char *queue,
                                        struct celery_error *err)
{
    (void)broker;
    if (*queue == '\0' || strchr(queue, '/') != NULL)
        return celery_fail(err, CELERY_INVALID,
                           "queue name '%.60s' cannot be a file name", queue);
    return CELERY_OK;
}

static int64_t count_files(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    int64_t count = 0;
    const struct dirent *entry = NULL;
    if (dir == NULL) {
        close_fd(&fd);
        return 0;
    }
    while ((entry = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe) */
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

static enum celery_status spool_depth(struct broker *broker, size_t queue,
                                      struct broker_depth *ret,
                                      struct celery_error *err)
{
    struct spool_broker *sb = spool_broker(broker);
    (void)err;
    if (sb->nodename == NULL) { /* no inotify keeps the listing up for us */
        spool_index_done(&sb->index);
        list_queue(sb);
    }
    *ret = (struct broker_depth){
        .ready =
            (int64_t)(spool_index_count(&sb->index, broker->queues[queue].name)
                      + spool_index_count(&sb->young,
                                          broker->queues[queue].name)),
        .unacked = sb->own_dir >= 0 ? count_files(sb->own_dir, ".") : 0,
        .dead = (int64_t)spool_dead_count(sb, broker->queues[queue].name),
        .oldest_s = -1,
    };
    return CELERY_OK;
}

static void spool_info(const struct broker *broker, struct broker_info *ret)
{
    const struct spool_broker *sb =
        (const struct spool_broker *)(const void *)broker;
    *ret = (struct broker_info){.transport = "filesystem",
                                .hostname = "localhost",
                                .virtual_host = sb->root};
}

static const char *const spool_schemes[] = {"filesystem", NULL};

const struct broker_driver spool_broker_driver = {
    .schemes = spool_schemes,
    .open = spool_open,
    .close = spool_close,
    .connect = spool_connect,
    .fds = spool_fds,
    .receive = spool_receive,
    .wakes = spool_wakes,
    .claim = spool_claim,
    .settle = spool_settle,
    .renew = spool_renew,
    .fence = spool_fence,
    .reclaim = spool_reclaim,
    .maintain = spool_maintain,
    .declare = spool_declare,
    .depth = spool_depth,
    .lead = spool_lead,
    .dead_each = spool_dead_each,
    .publish = spool_publish,
    .info = spool_info,
};
