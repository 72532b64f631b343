/* SPDX-License-Identifier: MIT */
#include "runtime/result_store.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { BATCH_MAX = 256 };

struct stored_item {
    struct op op;                   /* first */
    struct celery_request *request; /* NULL: a document alone */
    char *task_id;
    char *reply_to; /* of a document alone; NULL: nobody's */
    char *correlation_id;
    struct celery_buf document;
    bool if_unknown;
};

struct result_store {
    struct backend *backend;
    bool extended;
    const char *nodename;
    struct op_queue queue;
    struct op_queue *stored;
    pthread_t thread;
    _Atomic bool stopping;
    int64_t stop_at_us;
    struct metric *failed_total;
};

static const char *state_of(const struct celery_request *request)
{
    switch (request->end) {
    case END_NONE:
    case END_SUCCESS:
        return "SUCCESS";
    case END_RETRY:
        return "RETRY";
    case END_REVOKED:
        return "REVOKED";
    case END_FAILURE:
    case END_REJECT:
    case END_REQUEUE:
    case END_IGNORE:
        return "FAILURE";
    }
    return "FAILURE";
}

void result_store_extend(const struct result_store *store,
                         const struct celery_request *request,
                         struct celery_result_out *out)
{
    if (!store->extended)
        return;
    out->name = request->message.task;
    out->args = request->message.args.text;
    out->kwargs = request->message.kwargs.text;
    out->worker = (struct celery_str){store->nodename, strlen(store->nodename)};
    out->retries = request->message.retries;
    out->queue = request->envelope.routing_key;
    out->stamped_headers = request->message.stamped_headers;
    out->stamps = request->message.stamps;
}

static void build_document(const struct result_store *store,
                           const struct celery_request *request,
                           struct celery_buf *buf)
{
    struct celery_exception exception = request_exception(request);
    bool good = request->end == END_NONE || request->end == END_SUCCESS;
    struct celery_result_out out = {
        .status = state_of(request),
        .result = celery_buf_str(&request->result),
        .exception = good ? NULL : &exception,
        .traceback = celery_buf_str(&request->traceback),
        .date_done_us = request->end == END_RETRY ? 0 : clock_wall_us(),
        .task_id = request->message.id,
        .group_id = request->message.group,
        .parent_id = request->message.parent_id,
    };
    result_store_extend(store, request, &out);
    celery_result_encode(buf, &out);
}

static struct celery_str text_of(const char *text)
{
    return text != NULL ? (struct celery_str){text, strlen(text)}
                        : CELERY_STR("");
}

static size_t build_batch(const struct result_store *store,
                          struct stored_item **items, size_t count,
                          struct backend_item *ret)
{
    for (size_t i = 0; i < count; i++) {
        struct stored_item *item = items[i];
        if (item->request != NULL && item->document.len == 0)
            build_document(store, item->request, &item->document);
        ret[i] = (struct backend_item){
            .reply_to = item->request != NULL ? item->request->envelope.reply_to
                                              : text_of(item->reply_to),
            .correlation_id = item->request != NULL
                                ? item->request->envelope.correlation_id
                                : text_of(item->correlation_id),
            .task_id =
                item->request != NULL ? item->request->id : item->task_id,
            .document = celery_buf_str(&item->document),
            .if_unknown = item->if_unknown,
        };
    }
    return count;
}

static void hand_back(struct result_store *store, struct stored_item *item,
                      bool good)
{
    if (item->request != NULL) {
        item->request->result_stored = good;
        op_queue_push(store->stored, &item->request->op);
    }
    celery_buf_done(&item->document);
    free(item->task_id);
    free(item->reply_to);
    free(item->correlation_id);
    free(item);
}

/* Waits between tries; woken by new items, it goes on waiting all the same. */
static bool wait_retry(const struct result_store *store, int64_t wait_us)
{
    int64_t until = clock_monotonic_us() + wait_us;
    while (clock_monotonic_us() < until) {
        if (store->stopping && clock_monotonic_us() >= store->stop_at_us)
            return false;
        (void)poll(NULL, 0, 20);
    }
    return !store->stopping || clock_monotonic_us() < store->stop_at_us;
}

static void store_batch(struct result_store *store, struct stored_item **items,
                        size_t count)
{
    struct backend_item batch[BATCH_MAX];
    struct backoff backoff = {50 * USEC_PER_MSEC, 2 * USEC_PER_SEC, 0};
    size_t n = build_batch(store, items, count, batch);
    bool good = false;
    bool again = !store->stopping || clock_monotonic_us() < store->stop_at_us;
    while (!good && again) {
        struct celery_error err = {0};
        good = backend_store(store->backend, batch, n, &err) == CELERY_OK;
        if (good)
            break;
        metric_add(store->failed_total, 1, NULL);
        if (backoff.tries == 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "result_store_failed",
                      LOG_STR("error", err.msg), LOG_INT("results", n),
                      LOG_STR("msg", "trying again until it works"));
        again = wait_retry(store, backoff_next_us(&backoff));
    }
    if (good && backoff.tries > 0)
        LOG_EVENT(LOG_LEVEL_INFO, "result_store_back", LOG_INT("results", n));
    for (size_t i = 0; i < count; i++)
        hand_back(store, items[i], good);
}

static void store_all(struct result_store *store)
{
    struct stored_item *items[BATCH_MAX];
    size_t count = 0;
    struct op *op = op_queue_take(&store->queue);
    while (op != NULL) {
        items[count++] = (struct stored_item *)(void *)op;
        op = op->next;
        if (count == BATCH_MAX || op == NULL) {
            store_batch(store, items, count);
            count = 0;
        }
    }
}

static void *run(void *arg)
{
    struct result_store *store = arg;
    struct pollfd pfd = {.fd = store->queue.fd, .events = POLLIN};
    while (!store->stopping) {
        (void)poll(&pfd, 1, -1);
        store_all(store);
    }
    store_all(store);
    return NULL;
}

enum celery_status result_store_start(struct backend *backend, bool extended,
                                      const char *nodename,
                                      struct op_queue *stored,
                                      struct result_store **ret,
                                      struct celery_error *err)
{
    static const struct metric_desc failed = {
        "celery_result_store_failed_total",
        "Tries to store results that failed; they are repeated.",
        METRIC_COUNTER,
        {NULL},
        NULL,
        0};
    struct result_store *store = xcalloc(1, sizeof *store);
    store->backend = backend;
    store->extended = extended;
    store->nodename = nodename;
    store->stored = stored;
    store->failed_total = metric_register(&failed);
    metric_add(store->failed_total, 0, NULL);
    op_queue_init(&store->queue);
    if (pthread_create(&store->thread, NULL, run, store) != 0) {
        op_queue_done(&store->queue);
        free(store);
        return celery_fail(err, CELERY_NOMEM,
                           "cannot start the results thread");
    }
    *ret = store;
    return CELERY_OK;
}

void result_store_push(struct result_store *store,
                       struct celery_request *request)
{
    struct stored_item *item = xcalloc(1, sizeof *item);
    item->request = request;
    op_queue_push(&store->queue, &item->op);
}

void result_store_document(struct result_store *store, const char *task_id,
                           const struct celery_request *request,
                           struct celery_str document, bool if_unknown)
{
    struct stored_item *item = xcalloc(1, sizeof *item);
    item->task_id = xstrdup(task_id);
    if (request != NULL) {
        const struct celery_envelope *e = &request->envelope;
        item->reply_to = xstrndup(e->reply_to.data, e->reply_to.len);
        item->correlation_id =
            xstrndup(e->correlation_id.data, e->correlation_id.len);
    }
    item->if_unknown = if_unknown;
    celery_buf_append(&item->document, document);
    op_queue_push(&store->queue, &item->op);
}

void result_store_stop(struct result_store *store, int64_t deadline_us)
{
    if (store == NULL)
        return;
    store->stop_at_us = deadline_us;
    store->stopping = true;
    static const uint64_t one = 1;
    (void)!write(store->queue.fd, &one, sizeof one);
    (void)pthread_join(store->thread, NULL);
    op_queue_done(&store->queue);
    backend_close(store->backend);
    free(store);
}
