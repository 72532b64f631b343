/* SPDX-License-Identifier: MIT */
/*
 * Takes apart what Python Celery wrote (events, requests, replies and results;
 * one file an argument) and has our writers put it together again: the bytes
 * must be the same. Lines of a release before 5.7 are passed by: it wrote
 * otherwise.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "celery/control.h"
#include "celery/event.h"
#include "celery/result.h"
#include "celery/timestamp.h"
#include "vector.h"

/* How many a recording holds depends on how fast the machine was. */
enum { LEAST = 200 };

static struct celery_arena arena;
static struct celery_arena recorded; /* the whole run's */
static int failures;
static int compared;
static int unmatched;

/* What the events of a task are made from: its messages and its results. */
enum { RECORDS_MAX = 1024 };
static struct {
    bool is_result;
    int64_t retries;
    struct celery_str id;
    struct celery_message message;
    struct celery_json result;
} records[RECORDS_MAX];
static size_t n_records;

static bool same(struct celery_str a, struct celery_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void expect(const char *what, struct celery_str want,
                   const struct celery_buf *got)
{
    compared++;
    if (celery_buf_status(got) == CELERY_OK && same(want, celery_buf_str(got)))
        return;
    failures++;
    (void)fprintf(stderr, "%s\nPython: %.*s\nours:   %s\n", what, (int)want.len,
                  want.data, got->data);
}

static struct celery_str str(struct celery_json in, const char *key)
{
    struct celery_json value = celery_json_get(in, key);
    struct celery_str text = {"", 0};

    if (value.type == CELERY_JSON_STRING
        && celery_json_string(value, &arena, &text) != CELERY_OK)
        abort();
    return text;
}

static const char *text(struct celery_json in, const char *key)
{
    const char *copy = celery_arena_copy(&arena, str(in, key)).data;

    if (copy == NULL)
        abort();
    return copy;
}

static double number(struct celery_json in, const char *key)
{
    double d = 0;

    (void)celery_json_double(celery_json_get(in, key), &d);
    return d;
}

static int64_t integer(struct celery_json in, const char *key)
{
    int64_t n = 0;

    (void)celery_json_int64(celery_json_get(in, key), &n);
    return n;
}

static bool truth(struct celery_json in, const char *key)
{
    return celery_json_truthy(celery_json_get(in, key));
}

static bool starts_with(const char *type, const char *with)
{
    return strncmp(type, with, strlen(with)) == 0;
}

static void put_worker(struct celery_buf *buf, struct celery_json in,
                       const struct celery_event_base *base)
{
    struct celery_json load = celery_json_get(in, "loadavg");
    struct celery_event_worker worker = {
        .type = text(in, "type"),
        .freq = number(in, "freq"),
        .active = integer(in, "active"),
        .processed = integer(in, "processed"),
        .sw_ident = text(in, "sw_ident"),
        .sw_ver = text(in, "sw_ver"),
        .sw_sys = text(in, "sw_sys"),
        .brief = celery_json_null(load),
    };

    for (size_t i = 0; i < 3; i++)
        (void)celery_json_double(celery_json_at(load, i), &worker.loadavg[i]);
    celery_event_worker(buf, base, &worker);
}

static void put_received(struct celery_buf *buf, struct celery_json in,
                         const struct celery_event_base *base)
{
    struct celery_message message = {
        .protocol = 2,
        .task = str(in, "name"),
        .id = str(in, "uuid"),
        .argsrepr = str(in, "args"),
        .kwargsrepr = str(in, "kwargs"),
        .root_id = str(in, "root_id"),
        .parent_id = str(in, "parent_id"),
        .retries = integer(in, "retries"),
        .eta_text = str(in, "eta"),
        .expires_text = str(in, "expires"),
    };

    if (message.eta_text.len != 0
        && celery_timestamp_parse(message.eta_text, &message.eta_us)
               != CELERY_OK)
        abort();
    if (message.expires_text.len != 0
        && celery_timestamp_parse(message.expires_text, &message.expires_us)
               != CELERY_OK)
        abort();
    celery_event_received(buf, base, &message);
}

/* The index of what was recorded of the task, or n_records. */
static size_t find_record(bool is_result, struct celery_str id, int64_t retries)
{
    size_t i = 0;

    while (i < n_records
           && (records[i].is_result != is_result || !same(records[i].id, id)
               || records[i].retries != retries))
        i++;
    return i;
}

static bool put_succeeded(struct celery_buf *buf, struct celery_json in,
                          const struct celery_event_base *base)
{
    size_t i = find_record(true, str(in, "uuid"), 0);

    if (i == n_records)
        return false;
    celery_event_succeeded(buf, base, records[i].id, records[i].result,
                           number(in, "runtime"));
    return true;
}

static bool put_sent(struct celery_buf *buf, struct celery_json in,
                     const struct celery_event_base *base)
{
    size_t i = find_record(false, str(in, "uuid"), integer(in, "retries"));

    if (i == n_records)
        return false;
    const struct celery_message *m = &records[i].message;
    const struct celery_task_out task = {
        .task = text(in, "name"),
        .id = text(in, "uuid"),
        .root_id = celery_arena_copy(&arena, m->root_id).data,
        .parent_id = celery_arena_copy(&arena, m->parent_id).data,
        .args = m->args.text,
        .kwargs = m->kwargs.text,
        .retries = m->retries,
        .eta_us = m->eta_us,
        .expires_us = m->expires_us,
        .exchange = text(in, "exchange"),
        .routing_key = text(in, "routing_key"),
    };
    celery_event_sent(buf, base, &task);
    return true;
}

/* false: made from what was not recorded. */
static bool put_task(struct celery_buf *buf, struct celery_json in,
                     const struct celery_event_base *base, const char *type)
{
    struct celery_str id = str(in, "uuid");

    if (strcmp(type, "task-received") == 0)
        put_received(buf, in, base);
    else if (strcmp(type, "task-started") == 0)
        celery_event_started(buf, base, id);
    else if (strcmp(type, "task-failed") == 0
             || strcmp(type, "task-retried") == 0)
        celery_event_failed(buf, base, type, id, str(in, "exception"),
                            str(in, "traceback"));
    else if (strcmp(type, "task-revoked") == 0)
        celery_event_revoked(buf, base, id, truth(in, "terminated"),
                             (int)integer(in, "signum"), truth(in, "expired"));
    else if (strcmp(type, "task-rejected") == 0)
        celery_event_rejected(buf, base, id, truth(in, "requeue"));
    else if (strcmp(type, "task-succeeded") == 0)
        return put_succeeded(buf, in, base);
    else if (strcmp(type, "task-sent") == 0)
        return put_sent(buf, in, base);
    else
        abort();
    return true;
}

static void check_event(struct celery_json in)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    const char *type = text(in, "type");
    const struct celery_event_base base = {
        .hostname = text(in, "hostname"),
        .utcoffset = number(in, "utcoffset"),
        .pid = integer(in, "pid"),
        .clock = integer(in, "clock"),
        .timestamp = number(in, "timestamp"),
    };

    if (starts_with(type, "worker-elect"))
        return;
    if (starts_with(type, "worker-"))
        put_worker(&buf, in, &base);
    else if (!put_task(&buf, in, &base, type)) {
        unmatched++;
        return;
    }
    expect(type, in.text, &buf);
}

static void check_events(struct celery_str wire)
{
    struct celery_envelope e;
    struct celery_json root;
    struct celery_json event;

    if (celery_envelope_decode(wire, NULL, &arena, &e, NULL) != CELERY_OK
        || celery_content_decode(&e.content, CELERY_ACCEPT_JSON, NULL, &arena,
                                 &root, NULL)
               != CELERY_OK)
        abort();
    if (root.type == CELERY_JSON_OBJECT)
        check_event(root);
    struct celery_json_iter iter = celery_json_iter(root);
    while (root.type == CELERY_JSON_ARRAY
           && celery_json_next(&iter, NULL, &event))
        check_event(event);
}

static void check_control(struct celery_str wire)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_envelope e;
    struct celery_control_request r;

    if (celery_envelope_decode(wire, NULL, &arena, &e, NULL) != CELERY_OK
        || celery_control_decode(&e, NULL, &arena, &r, NULL) != CELERY_OK)
        abort();
    const struct celery_control_out out = {
        .method = celery_arena_copy(&arena, r.method).data,
        .arguments = r.arguments.text,
        .destination = celery_json_null(r.destination) ? CELERY_STR("")
                                                       : r.destination.text,
        .ticket =
            r.ticket.len == 0 ? NULL : celery_arena_copy(&arena, r.ticket).data,
        .reply_routing_key =
            celery_arena_copy(&arena, r.reply_routing_key).data,
        .clock = r.clock,
        .expires = r.expires,
        .delivery_tag = celery_arena_copy(&arena, e.delivery_tag).data,
        .pattern = r.pattern.len == 0
                     ? NULL
                     : celery_arena_copy(&arena, r.pattern).data,
        .matcher = r.matcher.len == 0
                     ? NULL
                     : celery_arena_copy(&arena, r.matcher).data,
    };
    celery_control_encode(&buf, &out);
    expect("control", wire, &buf);
}

static void check_reply(struct celery_str wire)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_envelope e;
    struct celery_json root;
    struct celery_json key = {CELERY_JSON_NONE, {"", 0}};
    struct celery_json reply = key;
    struct celery_str node = {"", 0};

    if (celery_envelope_decode(wire, NULL, &arena, &e, NULL) != CELERY_OK
        || celery_content_decode(&e.content, CELERY_ACCEPT_JSON, NULL, &arena,
                                 &root, NULL)
               != CELERY_OK)
        abort();
    struct celery_json_iter iter = celery_json_iter(root);
    if (!celery_json_next(&iter, &key, &reply)
        || celery_json_string(key, &arena, &node) != CELERY_OK)
        abort();
    const struct celery_control_request r = {
        .ticket = str(e.headers, "ticket"),
        .reply_exchange = e.exchange,
        .reply_routing_key = e.routing_key,
    };
    celery_control_reply(&buf, &r, celery_arena_copy(&arena, node).data,
                         reply.text, integer(e.headers, "clock"),
                         celery_arena_copy(&arena, e.delivery_tag).data);
    expect("reply", wire, &buf);
}

static void check_result(struct celery_str wire)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_result r;

    if (celery_result_decode(wire, NULL, &arena, &r, NULL) != CELERY_OK)
        abort();
    struct celery_json name = celery_json_get(r.document, "name");
    if (name.type == CELERY_JSON_NULL || r.children.type == CELERY_JSON_NULL)
        return; /* written outside of a task */
    struct celery_result_out out = {
        .status = celery_arena_copy(&arena, r.status).data,
        .result = r.result.text,
        .exception = r.exception.type.len == 0 ? NULL : &r.exception,
        .traceback = r.traceback,
        .children = r.children.text,
        .task_id = r.task_id,
        .group_id = r.group_id,
        .parent_id = r.parent_id,
        .name = r.name,
        .args = celery_json_null(r.args) ? CELERY_STR("") : r.args.text,
        .kwargs = celery_json_null(r.kwargs) ? CELERY_STR("") : r.kwargs.text,
        .worker = r.worker,
        .retries = r.retries,
        .queue = r.queue,
        .stamped_headers = r.stamped_headers,
        .stamps = r.stamped_headers.type == CELERY_JSON_NONE ? r.stamped_headers
                                                             : r.document,
    };
    if (r.date_done.len != 0
        && celery_timestamp_parse(r.date_done, &out.date_done_us) != CELERY_OK)
        abort();
    celery_result_encode(&buf, &out);
    expect("result", wire, &buf);
}

static struct {
    const char *kind;
    void (*check)(struct celery_str wire);
    int seen;
} kinds[] = {
    {"event", check_events, 0},
    {"control", check_control, 0},
    {"reply", check_reply, 0},
    {"result", check_result, 0},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };
static void record_task(struct celery_str wire)
{
    struct celery_envelope e;
    struct celery_message m;

    if (celery_envelope_decode(wire, NULL, &recorded, &e, NULL) != CELERY_OK
        || celery_message_decode(&e, CELERY_ACCEPT_JSON, NULL, &recorded, &m,
                                 NULL)
               != CELERY_OK)
        return; /* msgpack, pickle, yaml */
    records[n_records].id = m.id;
    records[n_records].retries = m.retries;
    records[n_records++].message = m;
}

static void record_result(struct celery_str wire)
{
    struct celery_result r;

    if (celery_result_decode(wire, NULL, &recorded, &r, NULL) != CELERY_OK
        || !same(r.status, CELERY_STR("SUCCESS")))
        return;
    records[n_records].is_result = true;
    records[n_records].id = r.task_id;
    records[n_records++].result = r.result;
}

/* All of these are ASCII, so the text is the bytes. */
static void check_line(struct celery_str line, bool recording)
{
    struct celery_json root;
    struct celery_str wire;

    celery_arena_clear(&arena);
    if (celery_json_parse(line, NULL, &root, NULL) != CELERY_OK)
        abort();
    if (!vector_writes_as_we_do(text(root, "celery")))
        return;
    struct celery_json kind = celery_json_get(root, "kind");
    for (size_t i = 0; !recording && i < KINDS; i++) {
        if (celery_json_is(kind, kinds[i].kind)) {
            kinds[i].check(str(root, "raw"));
            kinds[i].seen++;
        }
    }
    if (!recording || n_records == RECORDS_MAX)
        return;
    wire = celery_arena_copy(&recorded, str(root, "raw"));
    if (celery_json_is(kind, "task"))
        record_task(wire);
    else if (celery_json_is(kind, "result"))
        record_result(wire);
}

static void read_all(FILE *f, bool recording)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len = 0;

    rewind(f);
    while ((len = getline(&line, &cap, f)) > 0)
        check_line((struct celery_str){line, (size_t)len}, recording);
    free(line);
}

static void check_file(const char *path)
{
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        perror(path);
        failures++;
        return;
    }
    compared = unmatched = 0;
    n_records = 0;
    for (size_t i = 0; i < KINDS; i++)
        kinds[i].seen = 0;
    read_all(f, true);
    read_all(f, false);
    (void)fclose(f);
    printf("%s: %d compared, %d of what was not recorded\n", path, compared,
           unmatched);
    for (size_t i = 0; i < KINDS; i++) {
        if (kinds[i].seen == 0 || compared < LEAST) {
            (void)fprintf(stderr, "%s: %d of kind %s: too few\n", path,
                          kinds[i].seen, kinds[i].kind);
            failures++;
        }
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        check_file(argv[i]);
    celery_arena_done(&arena);
    celery_arena_done(&recorded);
    printf("%d differ or are missing\n", failures);
    return failures == 0 && argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
