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

int main(int argc, char **argv)
{
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
    usage(stderr);
    return CLI_EXIT_USAGE;
}
