/* SPDX-License-Identifier: MIT */
#include "http/http_date.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"

enum { DATE_SIZE = 64 };

const char *http_date(void)
{
    /* strftime() would use the locale's names. */
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed",
                                       "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr",
                                         "May", "Jun", "Jul", "Aug",
                                         "Sep", "Oct", "Nov", "Dec"};
    static _Thread_local char text[DATE_SIZE];
    static _Thread_local time_t made;
    time_t now = (time_t)(clock_wall_us() / USEC_PER_SEC);
    struct tm tm = {0};
    if (now == made || gmtime_r(&now, &tm) == NULL)
        return text;
    (void)snprintf(text, sizeof text, "%s, %02d %s %d %02d:%02d:%02d GMT",
                   days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                   1900 + tm.tm_year, tm.tm_hour, tm.tm_min, tm.tm_sec);
    made = now;
    return text;
}
