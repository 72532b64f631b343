/* SPDX-License-Identifier: MIT */
/*
 * Event bodies in Python's key order: the sender's fields, the event's own,
 * timestamp and type last. Numbers are always finite: NaN in a field stops
 * the tables of monitors. Source: celery/events/dispatcher.py (publish, send),
 * celery/events/event.py.
 */
#include "celery/event.h"

#include <math.h>
#include <string.h>

#include "celery/json_write.h"
#include "celery/python_repr.h"
#include "celery/timestamp.h"

static void put_text(struct celery_json_writer *w, const char *key,
                     const char *text)
{
    celery_json_key(w, key);
    celery_json_put_text(w, text);
}

static void put_str(struct celery_json_writer *w, const char *key,
                    struct celery_str text)
{
    celery_json_key(w, key);
    celery_json_put_str(w, text);
}

/* Empty is None. */
static void put_str_or_null(struct celery_json_writer *w, const char *key,
                            struct celery_str text)
{
    celery_json_key(w, key);
    if (text.len == 0)
        celery_json_put_null(w);
    else
        celery_json_put_str(w, text);
}

static void put_int(struct celery_json_writer *w, const char *key, int64_t n)
{
    celery_json_key(w, key);
    celery_json_put_int(w, n);
}

static void put_finite(struct celery_json_writer *w, double d)
{
    celery_json_put_double(w, isfinite(d) ? d : 0.0);
}

static void put_bool(struct celery_json_writer *w, const char *key, bool b)
{
    celery_json_key(w, key);
    celery_json_put_bool(w, b);
}

static void begin(struct celery_json_writer *w,
                  const struct celery_event_base *base)
{
    celery_json_begin_object(w);
    put_text(w, "hostname", base->hostname);
    celery_json_key(w, "utcoffset");
    put_finite(w, base->utcoffset);
    put_int(w, "pid", base->pid);
    put_int(w, "clock", base->clock);
}

static void end(struct celery_json_writer *w,
                const struct celery_event_base *base, const char *type)
{
    celery_json_key(w, "timestamp");
    put_finite(w, base->timestamp);
    put_text(w, "type", type);
    celery_json_end_object(w);
}

static void begin_task(struct celery_json_writer *w,
                       const struct celery_event_base *base,
                       struct celery_str id)
{
    begin(w, base);
    put_str(w, "uuid", id);
}

void celery_event_worker(struct celery_buf *buf,
                         const struct celery_event_base *base,
                         const struct celery_event_worker *worker)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);

    begin(&w, base);
    celery_json_key(&w, "freq");
    if (worker->brief) {
        celery_json_put_int(&w, (int64_t)worker->freq);
    } else {
        put_finite(&w, worker->freq);
        put_int(&w, "active", worker->active);
        put_int(&w, "processed", worker->processed);
        celery_json_key(&w, "loadavg");
        celery_json_begin_array(&w);
        for (size_t i = 0; i < 3; i++)
            put_finite(&w, worker->loadavg[i]);
        celery_json_end_array(&w);
    }
    put_text(&w, "sw_ident", worker->sw_ident);
    put_text(&w, "sw_ver", worker->sw_ver);
    put_text(&w, "sw_sys", worker->sw_sys);
    end(&w, base, worker->type);
}

/* saferepr(value) as the member key. */
static void put_repr(struct celery_json_writer *w, const char *key,
                     struct celery_json value, bool as_tuple)
{
    struct celery_buf text = CELERY_BUF_INIT;

    celery_python_repr(&text, value, as_tuple, CELERY_REPR_MAX,
                       CELERY_REPR_LEVELS);
    if (celery_buf_status(&text) != CELERY_OK)
        w->buf->status = celery_buf_status(&text);
    put_str(w, key, celery_buf_str(&text));
    celery_buf_done(&text);
}

/* Is text what isoformat() makes of an aware datetime? */
static bool is_isoformat(struct celery_str text)
{
    if ((text.len != 25 && text.len != 32) || text.data[4] != '-'
        || text.data[7] != '-' || text.data[10] != 'T' || text.data[13] != ':'
        || text.data[16] != ':' || (text.len == 32 && text.data[19] != '.'))
        return false;
    char sign = text.data[text.len - 6];
    return (sign == '+' || sign == '-') && text.data[text.len - 3] == ':';
}

/* The worker parses a time and writes it again: other forms change. */
static void put_time(struct celery_json_writer *w, const char *key,
                     struct celery_str text, int64_t usec)
{
    char made[CELERY_TIMESTAMP_MAX];

    celery_json_key(w, key);
    if (usec == CELERY_TIME_NONE) {
        celery_json_put_null(w);
    } else if (is_isoformat(text)) {
        celery_json_put_str(w, text);
    } else {
        celery_timestamp_format(usec, made);
        celery_json_put_text(w, made);
    }
}

void celery_event_received(struct celery_buf *buf,
                           const struct celery_event_base *base,
                           const struct celery_message *message)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);
    bool shadowed = message->shadow.len != 0;

    begin_task(&w, base, message->id);
    put_str(&w, "name", shadowed ? message->shadow : message->task);
    /* Protocol 1 has no reprs; the worker makes them of a list. */
    if (message->argsrepr.len == 0)
        put_repr(&w, "args", message->args, message->protocol != 1);
    else
        put_str(&w, "args", message->argsrepr);
    if (message->kwargsrepr.len == 0)
        put_repr(&w, "kwargs", message->kwargs, false);
    else
        put_str(&w, "kwargs", message->kwargsrepr);
    put_str_or_null(&w, "root_id", message->root_id);
    put_str_or_null(&w, "parent_id", message->parent_id);
    put_int(&w, "retries", message->retries);
    put_time(&w, "eta", message->eta_text, message->eta_us);
    put_time(&w, "expires", message->expires_text, message->expires_us);
    end(&w, base, "task-received");
}

void celery_event_started(struct celery_buf *buf,
                          const struct celery_event_base *base,
                          struct celery_str id)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);

    begin_task(&w, base, id);
    end(&w, base, "task-started");
}

void celery_event_succeeded(struct celery_buf *buf,
                            const struct celery_event_base *base,
                            struct celery_str id, struct celery_json result,
                            double runtime_s)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);

    begin_task(&w, base, id);
    put_repr(&w, "result", result, false);
    celery_json_key(&w, "runtime");
    put_finite(&w, runtime_s);
    end(&w, base, "task-succeeded");
}

void celery_event_failed(struct celery_buf *buf,
                         const struct celery_event_base *base, const char *type,
                         struct celery_str id, struct celery_str exception,
                         struct celery_str traceback)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);

    begin_task(&w, base, id);
    put_str(&w, "exception", exception);
    if (traceback.len != 0)
        put_str(&w, "traceback", traceback);
    end(&w, base, type);
}

void celery_event_revoked(struct celery_buf *buf,
                          const struct celery_event_base *base,
                          struct celery_str id, bool terminated, int signum,
                          bool expired)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);

    begin_task(&w, base, id);
    put_bool(&w, "terminated", terminated);
    celery_json_key(&w, "signum");
    if (signum == 0)
        celery_json_put_null(&w);
    else
        celery_json_put_int(&w, signum);
    put_bool(&w, "expired", expired);
    end(&w, base, "task-revoked");
}

void celery_event_rejected(struct celery_buf *buf,
                           const struct celery_event_base *base,
                           struct celery_str id, bool requeue)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);

    begin_task(&w, base, id);
    put_bool(&w, "requeue", requeue);
    end(&w, base, "task-rejected");
}

static struct celery_str str_of(const char *text)
{
    return text == NULL ? CELERY_STR("")
                        : (struct celery_str){text, strlen(text)};
}

/* The repr of JSON text; text that is none shows as None. */
static void put_text_repr(struct celery_json_writer *w, const char *key,
                          struct celery_str text, bool as_tuple)
{
    const struct celery_limits limits = {.elements = SIZE_MAX, .depth = 1024};
    struct celery_json value = {CELERY_JSON_NONE, {"", 0}};

    if (text.len == 0)
        text = as_tuple ? CELERY_STR("[]") : CELERY_STR("{}");
    if (celery_json_parse(text, &limits, &value, NULL) != CELERY_OK)
        value.type = CELERY_JSON_NONE;
    put_repr(w, key, value, as_tuple);
}

void celery_event_sent(struct celery_buf *buf,
                       const struct celery_event_base *base,
                       const struct celery_task_out *task)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(buf);
    struct celery_str id = str_of(task->id);
    struct celery_str root = str_of(task->root_id);
    struct celery_str exchange = str_of(task->exchange);
    struct celery_str routing_key = str_of(task->routing_key);

    begin_task(&w, base, id);
    put_str(&w, "root_id", root.len == 0 ? id : root);
    put_str_or_null(&w, "parent_id", str_of(task->parent_id));
    put_str(&w, "name", str_of(task->task));
    put_text_repr(&w, "args", task->args, true);
    put_text_repr(&w, "kwargs", task->kwargs, false);
    put_int(&w, "retries", task->retries);
    put_time(&w, "eta", CELERY_STR(""), task->eta_us);
    put_time(&w, "expires", CELERY_STR(""), task->expires_us);
    /* On the default exchange the routing key is the queue. */
    put_str_or_null(&w, "queue",
                    exchange.len == 0 ? routing_key : CELERY_STR(""));
    put_str(&w, "exchange", exchange);
    put_str(&w, "routing_key", routing_key);
    end(&w, base, "task-sent");
}

void celery_event_routing_key(const char *type, char ret[64])
{
    size_t i = 0;

    for (; type[i] != '\0' && i < 63; i++)
        ret[i] = (char)(type[i] == '-' ? '.' : type[i]);
    ret[i] = '\0';
}
