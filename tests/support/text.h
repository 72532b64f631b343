/* SPDX-License-Identifier: MIT */
/* Literals as celery_str, and asserts on such texts. */
#ifndef SUPPORT_TEXT_H
#define SUPPORT_TEXT_H

#include <check.h>
#include <string.h>

#include "celery/buf.h"
#include "celery/json_scan.h"

static inline struct celery_str text(const char *s)
{
    return (struct celery_str){s, strlen(s)};
}

/* The checked document in s; the test fails when there is none. */
static inline struct celery_json json(const char *s)
{
    struct celery_limits limits = CELERY_LIMITS_DEFAULT;
    struct celery_json root = {CELERY_JSON_NONE, {"", 0}};
    struct celery_error err = {.msg = ""};

    limits.depth = 1024;
    ck_assert_msg(celery_json_parse(text(s), &limits, &root, &err) == CELERY_OK,
                  "%s: %s", s, err.msg);
    return root;
}

#define ASSERT_TEXT(got, want)                                                 \
    do {                                                                       \
        struct celery_str got_ = (got);                                        \
        const char *want_ = (want);                                            \
        ck_assert_msg(                                                         \
            got_.len == strlen(want_)                                          \
                && (got_.len == 0 || memcmp(got_.data, want_, got_.len) == 0), \
            "got '%.*s', want '%s'", (int)got_.len, got_.data, want_);         \
    } while (0)

#define ASSERT_BUF(buf, want)                                \
    do {                                                     \
        ck_assert_int_eq(celery_buf_status(buf), CELERY_OK); \
        ASSERT_TEXT(celery_buf_str(buf), want);              \
    } while (0)

/*
 * Runs a block with the n-th allocation failing, with and without all after it,
 * for every n until none fails. The block sets status, and frees whatever it
 * owns. An allocation that failed is always told.
 */
#define OOM_LOOP(status, ...)                                                \
    do {                                                                     \
        for (int oom_mode = 0; oom_mode < 2; oom_mode++) {                   \
            for (long oom_n = 0;; oom_n++) {                                 \
                ck_assert_int_lt(oom_n, 100000);                             \
                if (oom_mode == 0)                                           \
                    oom_after(oom_n);                                        \
                else                                                         \
                    oom_only(oom_n);                                         \
                __VA_ARGS__;                                                 \
                oom_after(-1);                                               \
                ck_assert_msg(                                               \
                    (status) == (oom_happened() ? CELERY_NOMEM : CELERY_OK), \
                    "allocation %ld%s: status %d", oom_n,                    \
                    oom_mode == 0 ? " and later" : " alone", (int)(status)); \
                if (!oom_happened()) {                                       \
                    ck_assert_int_gt(oom_n, 0);                              \
                    break;                                                   \
                }                                                            \
            }                                                                \
        }                                                                    \
    } while (0)

#endif /* SUPPORT_TEXT_H */
