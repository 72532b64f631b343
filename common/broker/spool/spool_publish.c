/* SPDX-License-Identifier: MIT */
/*
 * Publishing to the spool: one file a message, under kombu's name; broadcasts
 * and replies by the exchange tables in control/, JSON arrays of [routing key,
 * pattern, queue], read under LOCK_SH and written whole under LOCK_EX. No lock is
 * waited for without end: a peer may have been stopped that holds it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random_id.h"
#include "base/xalloc.h"
#include "broker/spool/spool_broker.h"
#include "celery/json_scan.h"
#include "celery/json_write.h"

enum {
    TABLE_BYTES_MAX = 16 << 20,
    LOCK_EVERY_MS = 5,
    READ_LOCK_MS = 250,
};

void spool_name(const char *queue, char ret[SPOOL_NAME_MAX])
{
    char id[CELERY_TASK_ID_LEN + 1];
    random_id(id);
    (void)snprintf(ret, SPOOL_NAME_MAX, "%" PRId64 "_%s.%s.msg",
                   clock_monotonic_us() / USEC_PER_MSEC, id, queue);
}

static bool write_all(int fd, struct celery_str text)
{
    size_t done = 0;
    while (done < text.len) {
        ssize_t n = write(fd, text.data + done, text.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

enum celery_status spool_write(int dir, const char *name,
                               struct celery_str text, struct celery_error *err)
{
    char temporary[64];
    char id[CELERY_TASK_ID_LEN + 1];
    random_id(id);
    (void)snprintf(temporary, sizeof temporary, ".%s.tmp", id);
    int fd = openat(dir, temporary,
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return celery_fail(err, CELERY_IO, "cannot write to the spool: %s",
                           strerrordesc_np(errno));
    bool good = write_all(fd, text);
    int error = errno;
    if (close(fd) != 0) {
        error = errno;
        good = false;
    }
    if (good && renameat(dir, temporary, dir, name) == 0)
        return CELERY_OK;
    if (good)
        error = errno;
    (void)unlinkat(dir, temporary, 0);
    return celery_fail(err, CELERY_IO, "cannot write %.100s to the spool: %s",
                       name, strerrordesc_np(error));
}

static bool name_is_safe(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len < SPOOL_NAME_MAX - 64 && strchr(name, '/') == NULL;
}

static enum celery_status lock_within(int fd, int how, int64_t timeout_us,
                                      struct celery_error *err)
{
    int64_t deadline = clock_monotonic_us() + timeout_us;
    while (flock(fd, how | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return celery_fail(err, CELERY_IO, "flock: %s",
                               strerrordesc_np(errno));
        if (clock_monotonic_us() >= deadline)
            return celery_fail(err, CELERY_TIMEOUT,
                               "another process holds the lock of an exchange "
                               "table in control/");
        const struct timespec pause = {0, LOCK_EVERY_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
    return CELERY_OK;
}

/* To read without the lock is worse than with it and better than not at all: rows
 * are added in one write, and half a table cannot be parsed. Once a lock was not to
 * be had, it is not waited for again until it was. */
static void lock_to_read(struct spool_broker *sb, int fd)
{
    int64_t patience = sb->tables_stuck ? 0 : READ_LOCK_MS * USEC_PER_MSEC;
    sb->tables_stuck =
        lock_within(fd, LOCK_SH, patience, NULL) == CELERY_TIMEOUT;
}

/* The exchange's table, or an empty array. The arena of the text is buf. */
static struct celery_json read_table(struct spool_broker *sb,
                                     const char *exchange,
                                     struct celery_buf *buf)
{
    struct celery_json table = {.type = CELERY_JSON_NONE};
    char *name = xasprintf("%s.exchange", exchange);
    int fd = openat(sb->control_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        lock_to_read(sb, fd);
        char chunk[16384];
        ssize_t n = 0;
        buf->limit = TABLE_BYTES_MAX;
        while ((n = read(fd, chunk, sizeof chunk)) > 0)
            celery_buf_append(buf, (struct celery_str){chunk, (size_t)n});
        (void)close(fd);
        if (celery_json_parse(celery_buf_str(buf), NULL, &table, NULL)
            != CELERY_OK)
            table.type = CELERY_JSON_NONE;
    }
    free(name);
    return table;
}

static bool row_is(struct celery_json row, const char *routing_key,
                   const char *queue)
{
    return celery_json_is(celery_json_at(row, 0), routing_key)
        && celery_json_is(celery_json_at(row, 2), queue);
}

static void put_rows(struct celery_buf *out, struct celery_json table,
                     const char *routing_key, const char *queue)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(out);
    celery_json_begin_array(&w);
    celery_json_begin_array(&w);
    celery_json_put_text(&w, routing_key);
    celery_json_put_text(&w, "");
    celery_json_put_text(&w, queue);
    celery_json_end_array(&w);
    struct celery_json_iter iter = celery_json_iter(table);
    struct celery_json row;
    while (celery_json_next(&iter, NULL, &row))
        celery_json_put_value(&w, row);
    celery_json_end_array(&w);
}

/* Adds the row under LOCK_EX, in place: a peer that waits for the lock has this
 * very file open. */
enum celery_status spool_bind(struct spool_broker *sb, const char *exchange,
                              const char *routing_key, const char *queue,
                              int64_t timeout_us, struct celery_error *err)
{
    struct celery_buf old = {.limit = TABLE_BYTES_MAX};
    struct celery_buf table_text = CELERY_BUF_INIT;
    struct celery_json table = {.type = CELERY_JSON_NONE};
    char *name = xasprintf("%s.exchange", exchange);
    int fd = openat(sb->control_dir, name,
                    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0;
    if (good) {
        enum celery_status st = lock_within(fd, LOCK_EX, timeout_us, err);
        if (st != CELERY_OK) {
            (void)close(fd);
            free(name);
            return st;
        }
    }
    char chunk[16384];
    ssize_t n = 0;
    while (good && (n = read(fd, chunk, sizeof chunk)) > 0)
        celery_buf_append(&old, (struct celery_str){chunk, (size_t)n});
    if (celery_json_parse(celery_buf_str(&old), NULL, &table, NULL)
        != CELERY_OK)
        table.type = CELERY_JSON_NONE;
    struct celery_json_iter iter = celery_json_iter(table);
    struct celery_json row;
    bool known = false;
    while (celery_json_next(&iter, NULL, &row))
        known = known || row_is(row, routing_key, queue);
    if (good && !known) {
        put_rows(&table_text, table, routing_key, queue);
        good = lseek(fd, 0, SEEK_SET) == 0
            && write_all(fd, celery_buf_str(&table_text))
            && ftruncate(fd, (off_t)table_text.len) == 0;
    }
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    free(name);
    celery_buf_done(&old);
    celery_buf_done(&table_text);
    return good ? CELERY_OK
                : celery_fail(err, CELERY_IO, "cannot write %s/control: %s",
                              sb->root, strerrordesc_np(error));
}

/* A word of the pattern, of p letters, and one of the key, of k. */
static bool word_matches(const char *pattern, size_t p, const char *key,
                         size_t k)
{
    if (*key == '\0' || *pattern == '\0')
        return false;
    return (p == 1 && *pattern == '*')
        || (p == k && memcmp(pattern, key, p) == 0);
}

/* AMQP's topic rule, word by word: * is one word, # any number. Iterative: the
 * last # is where a mismatch starts again. */
static bool topic_matches(const char *pattern, const char *key)
{
    const char *retry_pattern = NULL;
    const char *retry_key = NULL;
    for (;;) {
        size_t p = strcspn(pattern, ".");
        size_t k = strcspn(key, ".");
        if (p == 1 && *pattern == '#') {
            if (pattern[1] == '\0')
                return true;
            pattern += 2;
            retry_pattern = pattern;
            retry_key = key;
            continue;
        }
        if (word_matches(pattern, p, key, k)) {
            pattern += p + (pattern[p] == '.');
            key += k + (key[k] == '.');
            if (*pattern == '\0' && *key == '\0')
                return true;
            continue;
        }
        if (retry_pattern == NULL || *retry_key == '\0')
            return *pattern == '\0' && *key == '\0';
        retry_key += strcspn(retry_key, ".");
        retry_key += *retry_key == '.';
        pattern = retry_pattern;
        key = retry_key;
    }
}

static bool routed(const struct broker_message *message, const char *bound_key)
{
    if (message->route == BROKER_REPLY)
        return strcmp(bound_key, message->out.routing_key) == 0;
    if (message->out.routing_key[0] == '\0')
        return true; /* fanout */
    return topic_matches(bound_key, message->out.routing_key);
}

static enum celery_status publish_bound(struct spool_broker *sb,
                                        const struct broker_message *message,
                                        struct celery_str envelope,
                                        struct celery_error *err)
{
    struct celery_buf text = CELERY_BUF_INIT;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_json_iter iter =
        celery_json_iter(read_table(sb, message->out.exchange, &text));
    struct celery_json row;
    enum celery_status st = CELERY_OK;
    while (st == CELERY_OK && celery_json_next(&iter, NULL, &row)) {
        struct celery_str key = {"", 0};
        struct celery_str queue = {"", 0};
        char name[SPOOL_NAME_MAX];
        if (celery_json_string(celery_json_at(row, 0), &arena, &key)
                != CELERY_OK
            || celery_json_string(celery_json_at(row, 2), &arena, &queue)
                   != CELERY_OK)
            continue;
        char *key_text = xstrndup(key.data, key.len);
        char *queue_text = xstrndup(queue.data, queue.len);
        if (name_is_safe(queue_text) && routed(message, key_text)) {
            spool_name(queue_text, name);
            st = spool_write(sb->queue_dir, name, envelope, err);
        }
        free(key_text);
        free(queue_text);
    }
    celery_arena_done(&arena);
    celery_buf_done(&text);
    return st;
}

static enum celery_status publish_one(struct spool_broker *sb,
                                      const struct broker_message *message,
                                      struct celery_str envelope,
                                      struct celery_error *err)
{
    char name[SPOOL_NAME_MAX];
    if (message->route != BROKER_TO_QUEUE)
        return publish_bound(sb, message, envelope, err);
    if (!name_is_safe(message->out.routing_key))
        return celery_fail(err, CELERY_INVALID,
                           "queue name '%.60s' cannot be a file name",
                           message->out.routing_key);
    spool_name(message->out.routing_key, name);
    return spool_write(sb->queue_dir, name, envelope, err);
}

enum celery_status spool_publish(struct broker *broker,
                                 const struct broker_message *messages,
                                 size_t count, size_t *ret_sent,
                                 struct celery_error *err)
{
    struct spool_broker *sb = spool_broker(broker);
    struct celery_buf envelope = CELERY_BUF_INIT;
    enum celery_status st =
        broker->connected ? CELERY_OK : broker_connect(broker, err);
    *ret_sent = 0;
    for (size_t i = 0; i < count && st == CELERY_OK; i++) {
        celery_buf_clear(&envelope);
        celery_envelope_encode(&envelope, &messages[i].out);
        st = celery_buf_status(&envelope);
        if (st == CELERY_OK)
            st = publish_one(sb, &messages[i], celery_buf_str(&envelope), err);
        *ret_sent += st == CELERY_OK;
    }
    celery_buf_done(&envelope);
    /* A consumer keeps its lock whatever fails here: letting it go would hand its
     * running tasks to others. */
    return st == CELERY_IO && sb->nodename == NULL ? spool_drop(sb, st) : st;
}
