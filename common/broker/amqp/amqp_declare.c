/* SPDX-License-Identifier: MIT */
/*
 * Declarations, as kombu and Celery make them: equal ones are no-ops, and what
 * exists with other arguments is taken as it is (a fleet's quorum or priority
 * queues are declared by Python with arguments that we cannot know). Source:
 * celery/app/amqp.py Queues.new_missing, kombu/entity.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/amqp/amqp_broker.h"
#include "log/log.h"

enum { SHORT_STRING_MAX = 255 };

amqp_table_entry_t amqp_text_argument(const char *key, const char *text)
{
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes(key)};
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = amqp_cstring_bytes(text);
    return entry;
}

amqp_table_entry_t amqp_int_argument(const char *key, int64_t value)
{
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes(key)};
    if (value <= INT32_MAX) {
        entry.value.kind = AMQP_FIELD_KIND_I32;
        entry.value.value.i32 = (int32_t)value;
    } else {
        entry.value.kind = AMQP_FIELD_KIND_I64;
        entry.value.value.i64 = value;
    }
    return entry;
}

/* Refusals that mean "it is there, and different" or "you may not": then the
 * thing is used as it is. */
static bool is_refused(enum celery_status st, const struct celery_error *err)
{
    return st == CELERY_CONFLICT
        && (err->detail == AMQP_CODE_PRECONDITION_FAILED
            || err->detail == AMQP_CODE_ACCESS_REFUSED);
}

static void note_refused(const char *what, const char *name,
                         const struct celery_error *err)
{
    LOG_EVENT(LOG_LEVEL_WARNING, "amqp_declared_otherwise",
              LOG_STR("what", what), LOG_STR("name", name),
              LOG_STR("answer", err->msg), LOG_STR("msg", "used as it is"));
}

static enum celery_status exchange(struct amqp_conn *conn, const char *name,
                                   const char *type, bool durable, bool passive,
                                   struct celery_error *err)
{
    (void)amqp_exchange_declare(amqp_conn_begin(conn), CHANNEL_SCRATCH,
                                amqp_cstring_bytes(name),
                                amqp_cstring_bytes(type), passive, durable, 0,
                                0, amqp_empty_table);
    enum celery_status st =
        amqp_conn_end_rpc(conn, CHANNEL_SCRATCH, "declaring an exchange", err);
    amqp_conn_release(conn, CHANNEL_SCRATCH);
    return st;
}

enum celery_status amqp_declare_exchange(struct amqp_conn *conn,
                                         const char *name, const char *type,
                                         bool durable, bool *ret_other_type,
                                         struct celery_error *err)
{
    struct celery_error why = {0};
    enum celery_status st = exchange(conn, name, type, durable, false, &why);
    if (ret_other_type != NULL)
        *ret_other_type = false;
    if (!is_refused(st, &why)) {
        if (st != CELERY_OK && err != NULL)
            *err = why;
        return st;
    }
    /* "inequivalent arg 'type' for exchange 'x' …: received 'direct' but current
     * is 'topic'" */
    if (ret_other_type != NULL)
        *ret_other_type = strstr(why.msg, "arg 'type'") != NULL;
    else
        note_refused("exchange", name, &why);
    return exchange(conn, name, type, durable, true, err);
}

static enum celery_status queue_declare(struct amqp_conn *conn,
                                        const struct amqp_queue_spec *spec,
                                        bool passive, int64_t *ret_ready,
                                        struct celery_error *err)
{
    if (strlen(spec->name) > SHORT_STRING_MAX) {
        (void)celery_fail(err, CELERY_CONFLICT,
                          "no queue can have a name of more than %d bytes",
                          SHORT_STRING_MAX);
        if (err != NULL)
            err->detail = AMQP_CODE_NOT_FOUND;
        return CELERY_CONFLICT;
    }
    const amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(amqp_conn_begin(conn), CHANNEL_SCRATCH,
                           amqp_cstring_bytes(spec->name), passive,
                           spec->durable, spec->exclusive, spec->auto_delete,
                           spec->arguments);
    enum celery_status st =
        amqp_conn_end_rpc(conn, CHANNEL_SCRATCH, "declaring a queue", err);
    if (st == CELERY_OK && ok != NULL && ret_ready != NULL)
        *ret_ready = (int64_t)ok->message_count;
    amqp_conn_release(conn, CHANNEL_SCRATCH);
    return st;
}

enum celery_status amqp_declare_queue(struct amqp_conn *conn,
                                      const struct amqp_queue_spec *spec,
                                      struct celery_error *ret_other,
                                      struct celery_error *err)
{
    struct celery_error why = {0};
    enum celery_status st = queue_declare(conn, spec, false, NULL, &why);
    if (!is_refused(st, &why)) {
        if (st != CELERY_OK && err != NULL)
            *err = why;
        return st;
    }
    if (ret_other != NULL)
        *ret_other = why;
    return queue_declare(conn, spec, true, NULL, err);
}

enum celery_status amqp_bind(struct amqp_conn *conn, const char *queue,
                             const char *exchange_name, const char *routing_key,
                             struct celery_error *err)
{
    (void)amqp_queue_bind(amqp_conn_begin(conn), CHANNEL_SCRATCH,
                          amqp_cstring_bytes(queue),
                          amqp_cstring_bytes(exchange_name),
                          amqp_cstring_bytes(routing_key), amqp_empty_table);
    enum celery_status st =
        amqp_conn_end_rpc(conn, CHANNEL_SCRATCH, "binding a queue", err);
    amqp_conn_release(conn, CHANNEL_SCRATCH);
    return st;
}

/* "… inequivalent arg 'x-queue-type' for queue 'q' …: received none but current
 * is the value 'quorum' of type 'longstr'" */
static bool tells_quorum(const struct celery_error *answer)
{
    return strstr(answer->msg, "'x-queue-type'") != NULL
        && strstr(answer->msg, "'quorum'") != NULL;
}

/* A binding that we may not make is somebody else's business. */
static enum celery_status bind_own(struct amqp_conn *conn, const char *queue,
                                   struct celery_error *err)
{
    struct celery_error why = {0};
    enum celery_status st = amqp_bind(conn, queue, queue, queue, &why);
    if (st == CELERY_CONFLICT) {
        note_refused("binding", queue, &why);
        return CELERY_OK;
    }
    if (st != CELERY_OK && err != NULL)
        *err = why;
    return st;
}

/* The exchange of the queue's name, the queue, the binding. Names that start with
 * "amq." are the server's: such a queue has no exchange. */
static enum celery_status declare_three(struct amqp_conn *conn,
                                        const char *queue, bool *ret_topic,
                                        struct celery_error *ret_other,
                                        struct celery_error *err)
{
    const struct amqp_queue_spec spec = {.name = queue, .durable = true};
    enum celery_status st =
        amqp_declare_exchange(conn, queue, "direct", true, ret_topic, err);
    bool has_exchange = st == CELERY_OK;
    if (st == CELERY_OK || st == CELERY_CONFLICT)
        st = amqp_declare_queue(conn, &spec, ret_other, err);
    if (st == CELERY_OK && has_exchange)
        st = bind_own(conn, queue, err);
    return st;
}

enum celery_status amqp_declare_task_queue(struct amqp_conn *conn,
                                           const char *queue,
                                           struct amqp_queue *ret,
                                           struct celery_error *err)
{
    struct celery_error other = {0};
    bool topic = false;
    enum celery_status st = declare_three(conn, queue, &topic, &other, err);
    if (st != CELERY_OK || ret == NULL)
        return st;
    ret->quorum = ret->refuses_global || tells_quorum(&other);
    ret->topic = topic;
    if (other.detail != 0)
        LOG_EVENT(LOG_LEVEL_INFO, "amqp_queue_taken_as_it_is",
                  LOG_STR("queue", queue), LOG_BOOL("quorum", ret->quorum),
                  LOG_STR("answer", other.msg));
    return CELERY_OK;
}

enum celery_status amqp_count_messages(struct amqp_conn *conn,
                                       const char *queue, int64_t *ret_ready,
                                       struct celery_error *err)
{
    const struct amqp_queue_spec spec = {.name = queue};
    struct celery_error why = {0};
    *ret_ready = -1;
    enum celery_status st = queue_declare(conn, &spec, true, ret_ready, &why);
    if (st == CELERY_CONFLICT && why.detail == AMQP_CODE_NOT_FOUND)
        return CELERY_OK;
    if (st != CELERY_OK && err != NULL)
        *err = why;
    return st;
}
