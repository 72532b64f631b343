/* SPDX-License-Identifier: MIT */
/*
 * The commands of celeryc. argv[0] is the command's name; the result is the exit
 * status, as sysexits(3) has them where Celery does.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "celery/error.h"

enum { CLI_EXIT_CONFIG = 2, CLI_EXIT_USAGE = 64, CLI_EXIT_UNAVAILABLE = 69 };

/* The exit status for how a call to a broker ended. */
int cli_status_of(enum celery_status st);

int cli_worker(int argc, char **argv);
int cli_call(int argc, char **argv);
int cli_dead(int argc, char **argv);

#endif /* CLI_COMMANDS_H */
