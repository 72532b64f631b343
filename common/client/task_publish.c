/* SPDX-License-Identifier: MIT */
#include "client/task_publish.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/random_id.h"
#include "base/xalloc.h"

enum { PERSISTENT = 2 };

static char origin[300];

static void make_origin(void)
{
    char host[256] = "localhost";
    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(origin, sizeof origin, "gen%d@%s", (int)getpid(), host);
}

const char *task_origin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_origin);
    return origin;
}

struct encoded {
    struct celery_buf headers;
    struct celery_buf body;
    char delivery_tag[CELERY_TASK_ID_LEN + 1];
};

static enum celery_status encode(const struct celery_task_out *task,
                                 struct encoded *e, struct broker_message *ret,
                                 struct celery_error *err)
{
    enum celery_status st =
        celery_message_encode(task, &e->headers, &e->body, err);
    if (st != CELERY_OK)
        return st;
    random_id(e->delivery_tag);
    *ret = (struct broker_message){
        .route = BROKER_TO_QUEUE,
        .out =
            {
                .body = celery_buf_str(&e->body),
                .content_type = "application/json",
                .content_encoding = "utf-8",
                .headers = celery_buf_str(&e->headers),
                .correlation_id = task->correlation_id != NULL
                                    ? task->correlation_id
                                    : task->id,
                .reply_to = task->reply_to != NULL ? task->reply_to : "",
                .delivery_mode = PERSISTENT,
                .priority = task->priority,
                .exchange = task->exchange != NULL ? task->exchange : "",
                .routing_key = task->routing_key,
                .delivery_tag = e->delivery_tag,
            },
    };
    return CELERY_OK;
}

enum celery_status task_publish(struct broker *broker,
                                const struct celery_task_out *tasks,
                                size_t count, size_t *ret_sent,
                                struct celery_error *err)
{
    struct encoded *encoded = xcalloc(count, sizeof *encoded);
    struct broker_message *messages = xcalloc(count, sizeof *messages);
    enum celery_status st = CELERY_OK;
    if (ret_sent != NULL)
        *ret_sent = 0;
    for (size_t i = 0; i < count && st == CELERY_OK; i++)
        st = encode(&tasks[i], &encoded[i], &messages[i], err);
    if (st == CELERY_OK && count > 0)
        st = broker_publish(broker, messages, count, ret_sent, err);
    for (size_t i = 0; i < count; i++) {
        celery_buf_done(&encoded[i].headers);
        celery_buf_done(&encoded[i].body);
    }
    free(encoded);
    free(messages);
    return st;
}
