/* SPDX-License-Identifier: MIT */
/*
 * Lines are the fields of an event, the first one says which; of task-received
 * and task-sent the rest is the task's envelope. Every event is JSON that says
 * its fields, in numbers that a monitor can add up.
 */
#include "celery/event.h"
#include "celery/timestamp.h"
#include "fuzz/lines.h"

struct event {
    struct fuzz_lines lines;
    struct celery_event_base base;
    struct celery_buf buf;
    struct celery_json root;
    struct celery_arena *arena;
};

/* What is written: monitors cannot add up NaN. */
static double number_of(double d)
{
    return isfinite(d) ? d : 0;
}

static struct celery_json member(const struct event *e, const char *key)
{
    return celery_json_get(e->root, key);
}

static bool says(const struct event *e, const char *key, struct celery_str text)
{
    return fuzz_says(member(e, key), text, e->arena);
}

/* Empty is null. */
static bool says_or_null(const struct event *e, const char *key,
                         struct celery_str text)
{
    return text.len == 0 ? member(e, key).type == CELERY_JSON_NULL
                         : says(e, key, text);
}

static void begin(struct event *e)
{
    e->base = (struct celery_event_base){
        .hostname = fuzz_text(&e->lines),
        .utcoffset = fuzz_double(&e->lines),
        .pid = fuzz_int(&e->lines),
        .clock = fuzz_int(&e->lines),
        .timestamp = fuzz_double(&e->lines),
    };
}

/* What was written parses, and says what every event says. */
static void check(struct event *e, const char *type)
{
    char key[64];

    HOLDS(celery_buf_status(&e->buf) == CELERY_OK);
    HOLDS(celery_json_parse(celery_buf_str(&e->buf), NULL, &e->root, NULL)
          == CELERY_OK);
    HOLDS(says(e, "hostname", fuzz_whole(e->base.hostname)));
    HOLDS(says(e, "type", fuzz_whole(type)));
    HOLDS(fuzz_is_int(member(e, "pid"), e->base.pid));
    HOLDS(fuzz_is_int(member(e, "clock"), e->base.clock));
    HOLDS(fuzz_counts(member(e, "utcoffset"), number_of(e->base.utcoffset)));
    HOLDS(fuzz_counts(member(e, "timestamp"), number_of(e->base.timestamp)));
    celery_event_routing_key(type, key);
    HOLDS(strchr(key, '-') == NULL);
    HOLDS(strlen(key) == (strlen(type) < 63 ? strlen(type) : 63));
}

static void worker(struct event *e)
{
    const struct celery_event_worker worker = {
        .type = fuzz_text(&e->lines),
        .freq = (double)(fuzz_int(&e->lines) % 100000) / 8,
        .active = fuzz_int(&e->lines),
        .processed = fuzz_int(&e->lines),
        .loadavg = {fuzz_double(&e->lines), fuzz_double(&e->lines), 0.5},
        .sw_ident = fuzz_text(&e->lines),
        .sw_ver = fuzz_text(&e->lines),
        .sw_sys = fuzz_text(&e->lines),
        .brief = fuzz_int(&e->lines) != 0,
    };

    celery_event_worker(&e->buf, &e->base, &worker);
    check(e, worker.type);
    HOLDS(says(e, "sw_ident", fuzz_whole(worker.sw_ident)));
    HOLDS(says(e, "sw_ver", fuzz_whole(worker.sw_ver)));
    HOLDS(says(e, "sw_sys", fuzz_whole(worker.sw_sys)));
    if (worker.brief) {
        HOLDS(fuzz_is_int(member(e, "freq"), (int64_t)worker.freq));
        HOLDS(member(e, "active").type == CELERY_JSON_NONE);
        return;
    }
    HOLDS(fuzz_counts(member(e, "freq"), worker.freq));
    HOLDS(fuzz_is_int(member(e, "active"), worker.active));
    HOLDS(fuzz_is_int(member(e, "processed"), worker.processed));
    HOLDS(celery_json_count(member(e, "loadavg")) == 3);
    for (size_t i = 0; i < 3; i++)
        HOLDS(fuzz_counts(celery_json_at(member(e, "loadavg"), i),
                          number_of(worker.loadavg[i])));
}

static void started(struct event *e)
{
    struct celery_str id = fuzz_line(&e->lines);

    celery_event_started(&e->buf, &e->base, id);
    check(e, "task-started");
    HOLDS(says(e, "uuid", id));
}

static void succeeded(struct event *e)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    struct celery_str id = fuzz_line(&e->lines);
    double runtime = fuzz_double(&e->lines);
    struct celery_json result = {CELERY_JSON_NONE, {"", 0}};

    if (celery_json_parse(fuzz_line(&e->lines), &limits, &result, NULL)
        != CELERY_OK)
        result.type = CELERY_JSON_NONE;
    celery_event_succeeded(&e->buf, &e->base, id, result, runtime);
    check(e, "task-succeeded");
    HOLDS(says(e, "uuid", id));
    HOLDS(member(e, "result").type == CELERY_JSON_STRING);
    HOLDS(fuzz_counts(member(e, "runtime"), number_of(runtime)));
}

static void failed(struct event *e)
{
    struct celery_str id = fuzz_line(&e->lines);
    struct celery_str exception = fuzz_line(&e->lines);
    struct celery_str traceback = fuzz_line(&e->lines);

    celery_event_failed(&e->buf, &e->base, "task-failed", id, exception,
                        traceback);
    check(e, "task-failed");
    HOLDS(says(e, "uuid", id));
    HOLDS(says(e, "exception", exception));
    HOLDS((member(e, "traceback").type == CELERY_JSON_NONE)
          == (traceback.len == 0));
    HOLDS(traceback.len == 0 || says(e, "traceback", traceback));
}

static void revoked(struct event *e)
{
    struct celery_str id = fuzz_line(&e->lines);
    int signum = (int)(fuzz_int(&e->lines) % 65);
    bool terminated = fuzz_int(&e->lines) != 0;
    bool expired = fuzz_int(&e->lines) != 0;

    celery_event_revoked(&e->buf, &e->base, id, terminated, signum, expired);
    check(e, "task-revoked");
    HOLDS(says(e, "uuid", id));
    HOLDS(signum == 0 ? member(e, "signum").type == CELERY_JSON_NULL
                      : fuzz_is_int(member(e, "signum"), signum));
    HOLDS((member(e, "terminated").type == CELERY_JSON_TRUE) == terminated);
    HOLDS((member(e, "expired").type == CELERY_JSON_TRUE) == expired);
}

static void rejected(struct event *e)
{
    struct celery_str id = fuzz_line(&e->lines);
    bool requeue = fuzz_int(&e->lines) != 0;

    celery_event_rejected(&e->buf, &e->base, id, requeue);
    check(e, "task-rejected");
    HOLDS(says(e, "uuid", id));
    HOLDS((member(e, "requeue").type == CELERY_JSON_TRUE) == requeue);
}

static bool read_task(struct event *e, struct celery_envelope *envelope,
                      struct celery_message *message)
{
    const struct celery_limits limits = FUZZ_LIMITS;

    return celery_envelope_decode(e->lines.rest, &limits, e->arena, envelope,
                                  NULL)
            == CELERY_OK
        && celery_message_decode(envelope,
                                 CELERY_ACCEPT_JSON | CELERY_ACCEPT_MSGPACK,
                                 &limits, e->arena, message, NULL)
               == CELERY_OK;
}

/* null, or a time that reads back; "eta" of a message may have had another
 * form. */
static void check_time(const struct event *e, const char *key, int64_t usec)
{
    struct celery_str text = {"", 0};
    int64_t got = 0;
    char made[CELERY_TIMESTAMP_MAX];
    int64_t want = 0;

    if (usec == CELERY_TIME_NONE) {
        HOLDS(member(e, key).type == CELERY_JSON_NULL);
        return;
    }
    HOLDS(celery_json_string(member(e, key), e->arena, &text) == CELERY_OK);
    HOLDS(celery_timestamp_parse(text, &got) == CELERY_OK);
    celery_timestamp_format(usec, made);
    HOLDS(celery_timestamp_parse(fuzz_whole(made), &want) == CELERY_OK);
    /* 1970 itself is 1 in a message, where 0 is none. */
    HOLDS(got == usec || got == want || (usec == 1 && got == 0));
}

static void received(struct event *e)
{
    struct celery_envelope envelope;
    struct celery_message m;

    if (!read_task(e, &envelope, &m))
        return;
    celery_event_received(&e->buf, &e->base, &m);
    check(e, "task-received");
    HOLDS(says(e, "uuid", m.id));
    HOLDS(says(e, "name", m.shadow.len != 0 ? m.shadow : m.task));
    HOLDS(m.argsrepr.len == 0 || says(e, "args", m.argsrepr));
    HOLDS(m.kwargsrepr.len == 0 || says(e, "kwargs", m.kwargsrepr));
    HOLDS(member(e, "args").type == CELERY_JSON_STRING);
    HOLDS(member(e, "kwargs").type == CELERY_JSON_STRING);
    HOLDS(says_or_null(e, "root_id", m.root_id));
    HOLDS(says_or_null(e, "parent_id", m.parent_id));
    HOLDS(fuzz_is_int(member(e, "retries"), m.retries));
    check_time(e, "eta", m.eta_us);
    check_time(e, "expires", m.expires_us);
}

static void sent(struct event *e)
{
    struct celery_envelope envelope;
    struct celery_message m;
    struct celery_task_out out;

    if (!read_task(e, &envelope, &m)
        || celery_message_retry(&m, &envelope, e->arena, &out) != CELERY_OK)
        return;
    out.eta_us = m.eta_us;
    celery_event_sent(&e->buf, &e->base, &out);
    check(e, "task-sent");
    HOLDS(says(e, "uuid", m.id));
    HOLDS(says(e, "name", m.task));
    HOLDS(says(e, "root_id", m.root_id.len != 0 ? m.root_id : m.id));
    HOLDS(says(e, "parent_id", m.parent_id.len != 0 ? m.parent_id : m.id));
    HOLDS(fuzz_is_int(member(e, "retries"), m.retries));
    HOLDS(says(e, "exchange", envelope.exchange));
    HOLDS(says(e, "routing_key", envelope.routing_key));
    HOLDS(says_or_null(e, "queue",
                       envelope.exchange.len == 0 ? envelope.routing_key
                                                  : CELERY_STR("")));
    check_time(e, "eta", out.eta_us);
    check_time(e, "expires", out.expires_us);

    /* Arguments that are no JSON show as None. */
    out.args = e->lines.rest;
    out.args.len = out.args.len == 0 ? 0 : out.args.len - 1;
    out.kwargs = CELERY_STR("");
    out.exchange = NULL;
    celery_buf_clear(&e->buf);
    celery_event_sent(&e->buf, &e->base, &out);
    check(e, "task-sent");
    HOLDS(says(e, "kwargs", CELERY_STR("{}")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *name;
        void (*run)(struct event *e);
    } kinds[] = {
        {"worker", worker},     {"started", started}, {"succeeded", succeeded},
        {"failed", failed},     {"revoked", revoked}, {"rejected", rejected},
        {"received", received}, {"sent", sent},
    };
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct event e = {
        .lines = {fuzz_str(data, size), &arena},
        .buf = CELERY_BUF_INIT,
        .arena = &arena,
    };
    const char *kind = fuzz_text(&e.lines);

    begin(&e);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kind, kinds[i].name) == 0)
            kinds[i].run(&e);
    }
    celery_buf_done(&e.buf);
    celery_arena_done(&arena);
    return 0;
}
