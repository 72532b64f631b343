/* SPDX-License-Identifier: MIT */
/*
 * Named places where a test stops the program, between two steps that a crash must
 * not tear apart. Compiled in with -Dfailpoints=true only:
 *
 *   CELERY_C_FAILPOINT=before-ack:kill:3
 *
 * ends the program as kill -9 would when the place is reached the third time;
 * "hang" stops it as SIGSTOP does, until SIGCONT.
 */
#ifndef BASE_FAILPOINT_H
#define BASE_FAILPOINT_H

#ifdef CELERY_C_FAILPOINTS
void failpoint(const char *name);
#define FAILPOINT(name) failpoint(name)
#else
#define FAILPOINT(name) ((void)0)
#endif

#endif /* BASE_FAILPOINT_H */
