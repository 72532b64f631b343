/* SPDX-License-Identifier: MIT */
#include "celery/error.h"

#include <string.h>

#include "support/unit.h"

START_TEST(every_status_has_a_text)
{
    for (int i = CELERY_OK; i <= CELERY_CONFLICT; i++) {
        struct celery_error err = {.detail = 7};
        enum celery_status status = (enum celery_status)i;

        ck_assert_str_ne(celery_status_text(status), "unknown status");
        ck_assert_int_eq(celery_fail(&err, status, "no %s", "luck"), status);
        ck_assert_int_eq(err.status, status);
        ck_assert_int_eq(err.detail, 0);
        ck_assert_str_eq(err.msg, "no luck");
        ck_assert(err.retryable
                  == (i == CELERY_NOMEM || i == CELERY_IO || i == CELERY_CLOSED
                      || i == CELERY_TIMEOUT));
    }
    ck_assert_int_eq(celery_fail(NULL, CELERY_IO, "x"), CELERY_IO);
}
END_TEST

START_TEST(long_texts_are_cut)
{
    struct celery_error err;
    char text[500];

    memset(text, 'x', sizeof text);
    text[499] = '\0';
    (void)celery_fail(&err, CELERY_IO, "%s", text);
    ck_assert_uint_eq(strlen(err.msg), CELERY_ERROR_MSG_MAX - 1);
}
END_TEST

UNIT_MAIN("error", every_status_has_a_text, long_texts_are_cut)
