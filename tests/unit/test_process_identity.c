/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process_identity.h"
#include "support/unit.h"

START_TEST(a_process_is_gone_once_it_was_waited_for)
{
    char identity[PROCESS_IDENTITY_MAX] = "";
    int out[2];
    int hold[2];
    ck_assert_int_eq(pipe(out), 0);
    ck_assert_int_eq(pipe(hold), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        char byte = 0;
        (void)close(hold[1]);
        process_identity(identity);
        if (write(out[1], identity, sizeof identity) != sizeof identity)
            _exit(1);
        (void)!read(hold[0], &byte, 1);
        _exit(0);
    }
    ck_assert_int_eq(read(out[0], identity, sizeof identity),
                     (int)sizeof identity);
    ck_assert_str_ne(identity, "");
    ck_assert(!process_is_gone(identity));
    (void)close(hold[1]);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert(process_is_gone(identity));
    (void)close(hold[0]);
    (void)close(out[0]);
    (void)close(out[1]);
}
END_TEST

START_TEST(of_others_nothing_is_known)
{
    char own[PROCESS_IDENTITY_MAX];
    char other[PROCESS_IDENTITY_MAX];
    process_identity(own);
    ck_assert(!process_is_gone(own));
    ck_assert(!process_is_gone(""));
    ck_assert(!process_is_gone("1"));
    /* Another boot. */
    (void)snprintf(other, sizeof other, "%s", own);
    other[0] = other[0] == '0' ? '1' : '0';
    ck_assert(!process_is_gone(other));
    /* Cut, and with something behind. */
    (void)snprintf(other, sizeof other, "%s", own);
    *strrchr(other, '/') = '\0';
    ck_assert(!process_is_gone(other));
    (void)snprintf(other, sizeof other, "%.120s ", own);
    ck_assert(!process_is_gone(other));
}
END_TEST

START_TEST(a_process_id_that_is_used_again_is_another_process)
{
    char own[PROCESS_IDENTITY_MAX];
    process_identity(own);
    char *start = strrchr(own, '/') + 1;
    start[0] = start[0] == '1' ? '2' : '1';
    ck_assert(process_is_gone(own));
}
END_TEST

UNIT_MAIN("process_identity", a_process_is_gone_once_it_was_waited_for,
          of_others_nothing_is_known,
          a_process_id_that_is_used_again_is_another_process)
