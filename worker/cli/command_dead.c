/* SPDX-License-Identifier: MIT */
/*
 * celeryc dead list|replay|purge QUEUE: what no worker could run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "celery/dead_letter.h"
#include "celery/json_write.h"
#include "cli/commands.h"
#include "conf/conf.h"

static const struct conf_setting dead_table[] = {
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
    {.option = "id",
     .type = CONF_TEXT,
     .help = "only the message of this task id"},
    {.option = "reason",
     .type = CONF_TEXT,
     .help = "only those given up for this reason, such as unknown_task"},
    {.option = "all",
     .type = CONF_FLAG,
     .help = "replay or purge all of them; needed without --id and --reason"},
    {.option = "messages",
     .type = CONF_FLAG,
     .help = "list the messages too, byte for byte as a JSON text"},
};

enum { DEAD_SETTINGS = sizeof dead_table / sizeof dead_table[0] };

struct selection {
    enum celery_dead_action action;
    const char *id;     /* NULL: any */
    const char *reason; /* NULL: any */
    bool messages;
};

static bool is_text(struct celery_str text, const char *wanted)
{
    return wanted == NULL
        || (strlen(wanted) == text.len
            && memcmp(wanted, text.data, text.len) == 0);
}

/* One line of JSON: easy to read, easy for jq. */
static void print_letter(const struct celery_dead_letter *letter, bool message)
{
    struct celery_buf line = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&line);
    celery_json_begin_object(&w);
    celery_json_key(&w, "at");
    celery_json_put_double(&w, letter->at_s);
    celery_json_key(&w, "reason");
    celery_json_put_str(&w, letter->reason);
    celery_json_key(&w, "task");
    celery_json_put_str(&w, letter->task);
    celery_json_key(&w, "id");
    celery_json_put_str(&w, letter->id);
    celery_json_key(&w, "detail");
    celery_json_put_str(&w, letter->detail);
    if (message) {
        celery_json_key(&w, "message");
        celery_json_put_str(&w, letter->message);
    }
    celery_json_end_object(&w);
    (void)printf("%.*s\n", (int)line.len, celery_buf_str(&line).data);
    celery_buf_done(&line);
}

static enum celery_dead_action choose(void *arg,
                                      const struct celery_dead_letter *letter)
{
    const struct selection *selection = arg;
    if (!is_text(letter->id, selection->id)
        || !is_text(letter->reason, selection->reason))
        return CELERY_DEAD_KEEP;
    if (selection->action == CELERY_DEAD_KEEP)
        print_letter(letter, selection->messages);
    return selection->action;
}

static enum celery_status parse_action(const char *word,
                                       enum celery_dead_action *ret,
                                       struct celery_error *err)
{
    if (word != NULL && strcmp(word, "list") == 0)
        *ret = CELERY_DEAD_KEEP;
    else if (word != NULL && strcmp(word, "replay") == 0)
        *ret = CELERY_DEAD_REPLAY;
    else if (word != NULL && strcmp(word, "purge") == 0)
        *ret = CELERY_DEAD_PURGE;
    else
        return celery_fail(err, CELERY_INVALID,
                           "dead: '%.40s' is not accepted; accepted: list, "
                           "replay, purge",
                           word != NULL ? word : "");
    return CELERY_OK;
}

static enum celery_status run(const struct conf *conf, const char *queue,
                              struct selection *selection,
                              struct celery_error *err)
{
    const struct celery_producer_options options = {
        .broker_url = conf_text(conf, "CELERY_BROKER_URL"),
        .transport_options = conf_text(conf, "CELERY_BROKER_TRANSPORT_OPTIONS"),
    };
    struct celery_dead_counts counts = {0};
    selection->id = conf_text(conf, "id");
    selection->reason = conf_text(conf, "reason");
    selection->messages = conf_bool(conf, "messages");
    if (selection->action != CELERY_DEAD_KEEP && selection->id == NULL
        && selection->reason == NULL && !conf_bool(conf, "all"))
        return celery_fail(err, CELERY_INVALID,
                           "dead: which ones? --id, --reason or --all");
    enum celery_status st =
        celery_dead_letters(&options, queue, choose, selection, &counts, err);
    if (selection->action == CELERY_DEAD_REPLAY)
        (void)printf("%zu replayed, %zu kept\n", counts.replayed, counts.kept);
    else if (selection->action == CELERY_DEAD_PURGE)
        (void)printf("%zu purged, %zu kept\n", counts.purged, counts.kept);
    return st;
}

/* The word at argv[1], taken out of the options; NULL when there is none. */
static const char *take_word(int *argc, char ***argv)
{
    if (*argc < 2 || (*argv)[1][0] == '-')
        return NULL;
    (*argv)++;
    (*argc)--;
    return (*argv)[0];
}

int cli_dead(int argc, char **argv)
{
    struct celery_error err = {0};
    struct conf *conf = NULL;
    struct selection selection = {.action = CELERY_DEAD_KEEP};
    const char *word = take_word(&argc, &argv);
    const char *queue = take_word(&argc, &argv);
    enum celery_status st =
        conf_load(dead_table, DEAD_SETTINGS, argc, argv, &conf, &err);
    if (st == CELERY_OK && conf_bool(conf, "help")) {
        (void)printf(
            "Usage: celeryc dead list|replay|purge QUEUE [options]\n\n");
        conf_help(dead_table, DEAD_SETTINGS, stdout);
        conf_free(conf);
        return EXIT_SUCCESS;
    }
    if (st == CELERY_OK)
        st = parse_action(word, &selection.action, &err);
    if (st == CELERY_OK && queue == NULL)
        st = celery_fail(&err, CELERY_INVALID, "dead: which queue?");
    if (st == CELERY_OK)
        st = run(conf, queue, &selection, &err);
    if (st != CELERY_OK)
        (void)fprintf(stderr, "celeryc: %s\n", err.msg);
    conf_free(conf);
    return cli_status_of(st);
}
