/* SPDX-License-Identifier: MIT */
/*
 * Results as files: Celery's filesystem backend, one file a key, written under
 * another name and renamed. Source: celery/backends/filesystem.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/backend_driver.h"
#include "base/random_id.h"
#include "base/url.h"
#include "base/xalloc.h"

enum { DOCUMENT_MAX = 64 << 20 };

struct file_backend {
    struct backend backend;
    char *folder;
    int dir; /* -1: not open */
};

static struct file_backend *cast(struct backend *backend)
{
    return (struct file_backend *)(void *)backend;
}

static void file_backend_close(struct backend *backend)
{
    struct file_backend *fb = cast(backend);
    if (fb->dir >= 0)
        (void)close(fb->dir);
    free(fb->folder);
    free(fb);
}

static enum celery_status file_backend_open(
    const struct backend_options *options, struct backend **ret,
    struct celery_error *err)
{
    struct url url = {0};
    enum celery_status st = url_parse(options->url, &url, err);
    if (st != CELERY_OK)
        return st;
    if (url.host != NULL || url.path[0] != '/')
        st = celery_fail(err, CELERY_INVALID,
                         "'%.80s': accepted is file:///absolute/folder",
                         options->url);
    if (st == CELERY_OK) {
        struct file_backend *fb = xcalloc(1, sizeof *fb);
        fb->folder = xstrdup(url.path);
        fb->dir = -1;
        *ret = &fb->backend;
    }
    url_done(&url);
    return st;
}

static enum celery_status open_dir(struct file_backend *fb,
                                   struct celery_error *err)
{
    if (fb->dir >= 0)
        return CELERY_OK;
    if (mkdir(fb->folder, 0700) != 0 && errno != EEXIST)
        return celery_fail(err, CELERY_IO, "cannot create %.120s: %s",
                           fb->folder, strerrordesc_np(errno));
    fb->dir = open(fb->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fb->dir >= 0 ? CELERY_OK
                        : celery_fail(err, CELERY_IO, "cannot open %.120s: %s",
                                      fb->folder, strerrordesc_np(errno));
}

/* A task id comes from a message: it must not lead out of the folder. */
static bool key_name(const char *task_id, char ret[NAME_MAX + 1])
{
    int n = snprintf(ret, NAME_MAX + 1, "celery-task-meta-%s", task_id);
    return n > 0 && n <= NAME_MAX && strchr(task_id, '/') == NULL;
}

static bool read_document(int dir, const char *name, struct celery_buf *buf)
{
    char chunk[16384];
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    ssize_t n = 0;
    buf->limit = DOCUMENT_MAX;
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        celery_buf_append(buf, (struct celery_str){chunk, (size_t)n});
    (void)close(fd);
    return n == 0 && celery_buf_status(buf) == CELERY_OK;
}

static bool write_whole(int dir, const char *name, struct celery_str text)
{
    char temporary[64];
    char id[CELERY_TASK_ID_LEN + 1];
    random_id(id);
    (void)snprintf(temporary, sizeof temporary, ".%s.tmp", id);
    int fd = openat(dir, temporary,
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    size_t done = 0;
    ssize_t n = 0;
    while (done < text.len
           && (n = write(fd, text.data + done, text.len - done)) > 0)
        done += (size_t)n;
    bool good = close(fd) == 0 && done == text.len
             && renameat(dir, temporary, dir, name) == 0;
    if (!good)
        (void)unlinkat(dir, temporary, 0);
    return good;
}

static enum celery_status store_one(struct file_backend *fb,
                                    const struct backend_item *item,
                                    struct celery_error *err)
{
    char name[NAME_MAX + 1];
    struct celery_buf old = CELERY_BUF_INIT;
    if (!key_name(item->task_id, name))
        return CELERY_OK; /* no client could ask for it either */
    bool known = read_document(fb->dir, name, &old);
    char state[BACKEND_STATE_MAX] = "";
    if (known)
        backend_state(celery_buf_str(&old), state);
    bool good = !backend_may_store(item, state)
             || write_whole(fb->dir, name, item->document);
    celery_buf_done(&old);
    return good ? CELERY_OK
                : celery_fail(err, CELERY_IO, "cannot write to %.120s: %s",
                              fb->folder, strerrordesc_np(errno));
}

static enum celery_status file_backend_store(struct backend *backend,
                                             const struct backend_item *items,
                                             size_t count,
                                             struct celery_error *err)
{
    struct file_backend *fb = cast(backend);
    enum celery_status st = open_dir(fb, err);
    for (size_t i = 0; i < count && st == CELERY_OK; i++)
        st = store_one(fb, &items[i], err);
    if (st != CELERY_OK && fb->dir >= 0) {
        (void)close(fb->dir); /* the folder may have been made anew */
        fb->dir = -1;
    }
    return st;
}

static enum celery_status file_backend_get(struct backend *backend,
                                           const char *task_id,
                                           struct celery_buf *ret_document,
                                           bool *ret_found,
                                           struct celery_error *err)
{
    struct file_backend *fb = cast(backend);
    char name[NAME_MAX + 1];
    *ret_found = false;
    enum celery_status st = open_dir(fb, err);
    if (st == CELERY_OK && key_name(task_id, name))
        *ret_found = read_document(fb->dir, name, ret_document);
    return st;
}

static const char *const schemes[] = {"file", NULL};

const struct backend_driver file_backend_driver = {
    .schemes = schemes,
    .compresses = true,
    .open = file_backend_open,
    .close = file_backend_close,
    .store = file_backend_store,
    .get = file_backend_get,
};
