/* SPDX-License-Identifier: MIT */
/*
 * The commands of celeryc. argv[0] is the command's name; the result is the exit
 * status: 0 done, 1 failed, 2 wrong usage or settings, 69 the server is away, as
 * Celery's command has it.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "celery/error.h"

enum { CLI_EXIT_USAGE = 2, CLI_EXIT_UNAVAILABLE = 69 };

/* The exit status for how a call to a broker ended. */
int cli_status_of(enum celery_status st);

int cli_worker(int argc, char **argv);
int cli_call(int argc, char **argv);
int cli_dead(int argc, char **argv);

#endif /* CLI_COMMANDS_H */
