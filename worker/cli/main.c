/* SPDX-License-Identifier: MIT */
/*
 * celeryc: the `celery` command for places without Python. Adding a command is a
 * row in the table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "version.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"worker", cli_worker,
     "run the tasks of a module: worker -A module.so [options]"},
    {"call", cli_call,
     "send a task: call NAME [--args JSON] [--kwargs JSON] "
     "[--queue Q] [-b URL]"},
    {"dead", cli_dead,
     "what no worker could run: dead list|replay|purge QUEUE [-b URL]"},
};

static void usage(FILE *out)
{
    (void)fprintf(out, "Usage: celeryc COMMAND [options]\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        (void)fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
    (void)fprintf(out, "\nceleryc COMMAND --help shows a command's options.\n");
}

/* Celery's own order has the application, the broker and the result backend
 * before the command: how many words of argv are those. */
static int leading_options(int argc, char **argv)
{
    static const char *const names[] = {"-A", "--app", "-b", "--broker",
                                        "--result-backend"};
    int at = 1;
    while (at < argc && argv[at][0] == '-') {
        size_t i = 0;
        size_t len = 0;
        for (; i < sizeof names / sizeof names[0]; i++) {
            len = strlen(names[i]);
            if (strncmp(argv[at], names[i], len) == 0
                && (argv[at][len] == '\0' || argv[at][len] == '='
                    || names[i][1] != '-'))
                break;
        }
        if (i == sizeof names / sizeof names[0])
            break;
        at += argv[at][len] == '\0' ? 2 : 1;
    }
    return at < argc ? at - 1 : 0;
}

/* Moves the command before the options that precede it. */
static void put_command_first(int argc, char **argv)
{
    int before = leading_options(argc, argv);
    if (before == 0)
        return;
    char *command = argv[1 + before];
    memmove(argv + 2, argv + 1, (size_t)before * sizeof argv[0]);
    argv[1] = command;
}

int main(int argc, char **argv)
{
    put_command_first(argc, argv);
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        usage(stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(word, "--version") == 0) {
        (void)printf("celeryc %s\n", CRICALGO_VERSION);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(word, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    if (argc > 1)
        (void)fprintf(stderr, "celeryc: there is no command '%.40s'\n\n", word);
    usage(stderr);
    return CLI_EXIT_USAGE;
}
