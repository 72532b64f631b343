/* SPDX-License-Identifier: MIT */
/*
 * The commands that are clients of a broker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random_id.h"
#include "celery/producer.h"
#include "cli/commands.h"
#include "client/task_publish.h"
#include "conf/conf.h"

enum { YEAR_S = 366 * 24 * 3600 };

static const struct conf_setting call_table[] = {
    {.option = "help",
     .letter = 'h',
     .type = CONF_FLAG,
     .help = "show this text"},
    {.env = "CELERY_BROKER_URL",
     .alias = "REDIS_URL",
     .option = "broker",
     .letter = 'b',
     .type = CONF_TEXT,
     .file = true,
     .fallback = "redis://localhost:6379/0",
     .help = "the broker"},
    {.env = "CELERY_BROKER_TRANSPORT_OPTIONS",
     .type = CONF_TEXT,
     .file = true,
     .help = "JSON object"},
    {.env = "CELERY_C_SIGN_KEYS",
     .type = CONF_TEXT,
     .secret = true,
     .help = "keys that sign the task: id:key, …; the first signs"},
    {.env = "CELERY_TASK_SERIALIZER",
     .type = CONF_CHOICE,
     .fallback = "json",
     .choices = "json|msgpack",
     .help = "serializer of the body"},
    {.env = "CELERY_TASK_PROTOCOL",
     .type = CONF_INT,
     .fallback = "2",
     .min = 1,
     .max = 2,
     .help = "task protocol; 1 for workers before 4.0"},
    {.env = "CELERY_TASK_DEFAULT_QUEUE",
     .option = "queue",
     .letter = 'Q',
     .type = CONF_TEXT,
     .fallback = "celery",
     .help = "the queue"},
    {.option = "args",
     .letter = 'a',
     .type = CONF_TEXT,
     .fallback = "[]",
     .help = "positional arguments, a JSON array"},
    {.option = "kwargs",
     .letter = 'k',
     .type = CONF_TEXT,
     .fallback = "{}",
     .help = "keyword arguments, a JSON object"},
    {.option = "expires",
     .type = CONF_SECONDS,
     .fallback = "0",
     .min = 0,
     .max = YEAR_S,
     .help = "seconds after which nobody starts it; 0: it does not expire"},
};

enum { CALL_SETTINGS = sizeof call_table / sizeof call_table[0] };

static struct celery_str text_of(const struct conf *conf, const char *name)
{
    const char *text = conf_text(conf, name);
    return (struct celery_str){text, strlen(text)};
}

static enum celery_status check_json(struct celery_str text,
                                     enum celery_json_type type,
                                     const char *option,
                                     struct celery_error *err)
{
    struct celery_json root;
    if (celery_json_parse(text, NULL, &root, NULL) == CELERY_OK
        && root.type == type)
        return CELERY_OK;
    return celery_fail(err, CELERY_INVALID,
                       "--%s='%.60s' is not accepted; accepted: a JSON %s",
                       option, text.data,
                       type == CELERY_JSON_ARRAY ? "array" : "object");
}

static enum celery_status call(const struct conf *conf, const char *name,
                               struct celery_error *err)
{
    char id[CELERY_TASK_ID_LEN + 1];
    struct celery_producer *producer = NULL;
    const struct celery_producer_options options = {
        .broker_url = conf_text(conf, "CELERY_BROKER_URL"),
        .transport_options = conf_text(conf, "CELERY_BROKER_TRANSPORT_OPTIONS"),
    };
    random_id(id);
    double expires_s = conf_seconds(conf, "expires");
    int64_t now_us = clock_wall_us();
    const struct celery_task_out task = {
        .expires_us = expires_s > 0
                        ? now_us + (int64_t)(expires_s * USEC_PER_SEC)
                        : CELERY_TIME_NONE,
        .now_us = now_us,
        .protocol = (int)conf_int(conf, "CELERY_TASK_PROTOCOL"),
        .serializer =
            task_serializer_of(conf_text(conf, "CELERY_TASK_SERIALIZER")),
        .task = name,
        .id = id,
        .args = text_of(conf, "args"),
        .kwargs = text_of(conf, "kwargs"),
        .origin = task_origin(),
        .group_index = -1,
        .routing_key = conf_text(conf, "CELERY_TASK_DEFAULT_QUEUE"),
    };
    enum celery_status st =
        check_json(task.args, CELERY_JSON_ARRAY, "args", err);
    if (st == CELERY_OK)
        st = check_json(task.kwargs, CELERY_JSON_OBJECT, "kwargs", err);
    if (st == CELERY_OK)
        st = celery_producer_new(&options, &producer, err);
    if (st == CELERY_OK)
        st = celery_producer_send(producer, &task, 1, NULL, err);
    celery_producer_free(producer);
    if (st == CELERY_OK)
        (void)printf("%s\n", id);
    return st;
}

int cli_status_of(enum celery_status st)
{
    if (st == CELERY_OK)
        return EXIT_SUCCESS;
    return st == CELERY_INVALID || st == CELERY_UNSUPPORTED
             ? CLI_EXIT_USAGE
             : CLI_EXIT_UNAVAILABLE;
}

int cli_call(int argc, char **argv)
{
    struct celery_error err = {0};
    struct conf *conf = NULL;
    const char *name = NULL;
    /* celery call NAME --args …: the name comes first. */
    if (argc > 1 && argv[1][0] != '-') {
        name = argv[1];
        argv++;
        argc--;
    }
    enum celery_status st =
        conf_load(call_table, CALL_SETTINGS, argc, argv, &conf, &err);
    if (st == CELERY_OK && conf_bool(conf, "help")) {
        (void)printf("Usage: celeryc call NAME [options]\n\n");
        conf_help(call_table, CALL_SETTINGS, stdout);
        conf_free(conf);
        return EXIT_SUCCESS;
    }
    if (st == CELERY_OK && name == NULL)
        st = celery_fail(&err, CELERY_INVALID, "call: which task?");
    if (st == CELERY_OK)
        st = task_sign_with(conf_text(conf, "CELERY_C_SIGN_KEYS"), &err);
    if (st == CELERY_OK)
        st = call(conf, name, &err);
    if (st != CELERY_OK)
        (void)fprintf(stderr, "celeryc: %s\n", err.msg);
    conf_free(conf);
    return cli_status_of(st);
}
