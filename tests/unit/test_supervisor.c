/* SPDX-License-Identifier: MIT */
#include "base/supervisor.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/unit.h"

static int listener;

/* Listens on a path in the current folder, or on an abstract name. */
static void listen_on(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    ck_assert_uint_lt(length, sizeof at.sun_path);
    memcpy(at.sun_path, name, length);
    if (name[0] == '@')
        at.sun_path[0] = '\0';
    listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(
        bind(listener, (struct sockaddr *)&at,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
        0);
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static void check_received(const char *wanted)
{
    char got[1024];
    ssize_t n = recv(listener, got, sizeof got - 1, 0);
    ck_assert_int_ge(n, 0);
    got[n] = '\0';
    ck_assert_str_eq(got, wanted);
}

/* Since when is a clock's: only its form is known. */
static void check_reloading(void)
{
    char got[1024];
    long long since = 0;
    int end = 0;
    ssize_t n = recv(listener, got, sizeof got - 1, 0);
    ck_assert_int_ge(n, 0);
    got[n] = '\0';
    ck_assert_int_eq(
        sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%lld\n%n", &since, &end), 1);
    ck_assert_int_gt(since, 0);
    ck_assert_str_eq(got + end, "STATUS=reading");
}

static void check_states(void)
{
    ck_assert(supervisor_ready("serving on port 8000"));
    check_received("READY=1\nSTATUS=serving on port 8000");
    ck_assert(supervisor_status("waiting"));
    check_received("STATUS=waiting");
    ck_assert(supervisor_reloading("reading"));
    check_reloading();
    ck_assert(supervisor_stopping("finishing 3 requests"));
    check_received("STOPPING=1\nSTATUS=finishing 3 requests");
    (void)close(listener);
}

START_TEST(tells_a_socket_with_a_path)
{
    char path[] = "/tmp/test-supervisor-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(path));
    char name[64];
    (void)snprintf(name, sizeof name, "%s/notify", path);
    listen_on(name);
    check_states();
    (void)unlink(name);
    (void)rmdir(path);
}
END_TEST

START_TEST(tells_a_socket_with_an_abstract_name)
{
    char name[64];
    (void)snprintf(name, sizeof name, "@test-supervisor-%ld", (long)getpid());
    listen_on(name);
    check_states();
}
END_TEST

START_TEST(a_status_is_one_line_of_limited_length)
{
    char name[64];
    char status[2000];
    (void)snprintf(name, sizeof name, "@test-supervisor-l-%ld", (long)getpid());
    listen_on(name);
    ck_assert(supervisor_status("one\nREADY=1"));
    check_received("STATUS=one READY=1");
    memset(status, 'x', sizeof status - 1);
    status[sizeof status - 1] = '\0';
    ck_assert(supervisor_ready(status));
    char got[1024];
    ck_assert_int_eq(recv(listener, got, sizeof got, 0),
                     (int)strlen("READY=1\nSTATUS=") + 400);
    (void)close(listener);
}
END_TEST

START_TEST(nobody_listens)
{
    static const char *const names[] = {
        "", "@", "/", "relative", "/nowhere/at/all", "@nobody-is-here"};
    char longer[200];
    (void)unsetenv("NOTIFY_SOCKET");
    ck_assert(!supervisor_ready("x"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)setenv("NOTIFY_SOCKET", names[i], 1);
        ck_assert_msg(!supervisor_ready("x"), "%s", names[i]);
    }
    memset(longer, '/', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    (void)setenv("NOTIFY_SOCKET", longer, 1);
    ck_assert(!supervisor_ready("x"));
}
END_TEST

UNIT_MAIN("supervisor", tells_a_socket_with_a_path,
          tells_a_socket_with_an_abstract_name,
          a_status_is_one_line_of_limited_length, nobody_listens)
