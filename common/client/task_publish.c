/* SPDX-License-Identifier: MIT */
#include "client/task_publish.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random_id.h"
#include "base/xalloc.h"

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

enum celery_serializer task_serializer_of(const char *name)
{
    return strcmp(name, "msgpack") == 0 ? CELERY_SERIALIZER_MSGPACK
                                        : CELERY_SERIALIZER_JSON;
}

/* Set once, before there are threads; then only read. */
static char *sign_text;
static struct celery_seal_keys sign_keys;

enum celery_status task_sign_with(const char *keys, struct celery_error *err)
{
    if (keys == NULL || *keys == '\0'
        || (sign_text != NULL && strcmp(sign_text, keys) == 0))
        return CELERY_OK;
    struct celery_error why = {.msg = ""};
    char *text = xstrdup(keys);
    enum celery_status st =
        celery_seal_keys_parse((struct celery_str){text, strlen(text)},
                               &sign_keys, &why);
    if (st != CELERY_OK) {
        free(text);
        return celery_fail(err, st,
                           "CELERY_C_SIGN_KEYS is not accepted (%s); accepted: "
                           "id:key, several comma-separated",
                           why.msg);
    }
    free(sign_text);
    sign_text = text;
    return CELERY_OK;
}

const struct celery_seal_keys *task_sign_keys(void)
{
    return &sign_keys;
}

struct encoded {
    struct celery_buf headers;
    struct celery_buf body;
    char delivery_tag[CELERY_TASK_ID_LEN + 1];
    char expiration[CELERY_EXPIRATION_MAX];
};

static enum celery_status sign(const struct celery_task_out *task,
                               struct encoded *e, struct celery_error *err)
{
    const char *type = celery_serializer_type(task->serializer);
    const struct celery_content content = {
        .type = {type, strlen(type)},
        .body = celery_buf_str(&e->body),
    };
    struct celery_str queue = {"", 0};
    if (sign_keys.count == 0)
        return CELERY_OK;
    if (task->routing_key != NULL)
        queue =
            (struct celery_str){task->routing_key, strlen(task->routing_key)};
    return celery_seal_sign(&sign_keys, &e->headers, &content, queue, err);
}

static enum celery_status encode(const struct celery_task_out *task,
                                 struct encoded *e, struct broker_message *ret,
                                 struct celery_error *err)
{
    struct celery_task_out timed = *task;
    if (timed.now_us == 0)
        timed.now_us = clock_wall_us();
    bool expires = celery_task_expiration(&timed, e->expiration);
    enum celery_status st =
        celery_message_encode(task, &e->headers, &e->body, err);
    if (st == CELERY_OK)
        st = sign(task, e, err);
    if (st != CELERY_OK)
        return st;
    random_id(e->delivery_tag);
    ret->route = BROKER_TO_QUEUE;
    celery_message_envelope(task, &e->headers, &e->body,
                            expires ? e->expiration : NULL, e->delivery_tag,
                            &ret->out);
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
