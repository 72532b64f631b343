/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <limits.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts = {0};
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

int64_t clock_monotonic_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int clock_poll_ms(int64_t deadline_us)
{
    if (deadline_us == INT64_MAX)
        return -1;
    int64_t left = deadline_us - clock_monotonic_us();
    if (left <= 0)
        return 0;
    int64_t ms = (left + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

double clock_utcoffset_hours(void)
{
    time_t now = time(NULL);
    struct tm local = {0};
    if (localtime_r(&now, &local) == NULL)
        return 0.0;
    return (double)-local.tm_gmtoff / 3600.0; /* UTC is 0.0, not -0.0 */
}
