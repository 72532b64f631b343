/* SPDX-License-Identifier: MIT */
#include "metrics/metrics.h"

#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "support/unit.h"

#define VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void check_written(const char *wanted, bool there)
{
    CLEANUP(celery_buf_done) struct celery_buf buf = CELERY_BUF_INIT;
    metrics_write(&buf);
    ck_assert_int_eq(celery_buf_status(&buf), CELERY_OK);
    ck_assert_msg((strstr(celery_buf_str(&buf).data, wanted) != NULL) == there,
                  "%s %s in:\n%s", wanted, there ? "is not" : "is",
                  celery_buf_str(&buf).data);
}

START_TEST(counts_by_labels)
{
    static const struct metric_desc desc = {.name = "t_counter",
                                            .help = "Counted.",
                                            .type = METRIC_COUNTER,
                                            .labels = {"queue", "outcome"}};
    struct metric *metric = metric_register(&desc);

    ck_assert_ptr_eq(metric_register(&desc), metric);
    check_written("# HELP t_counter Counted.\n# TYPE t_counter counter\n",
                  true);
    check_written("t_counter{", false); /* no series was touched */
    METRIC_INC(metric, "a", "ok");
    METRIC_INC(metric, "a", "ok");
    metric_add(metric, 0.5, VALUES("a", "failed"));
    METRIC_INC(metric, "ao", "k"); /* the same letters, cut elsewhere */
    ck_assert_double_eq_tol(metric_value(metric, VALUES("a", "ok")), 2.0, 1e-9);
    ck_assert_double_eq_tol(metric_value(metric, VALUES("a", "failed")), 0.5,
                            1e-9);
    ck_assert_double_eq_tol(metric_value(metric, VALUES("b", "ok")), 0.0, 1e-9);
    check_written("\nt_counter{queue=\"a\",outcome=\"ok\"} 2.0\n", true);
    check_written("\nt_counter{queue=\"a\",outcome=\"failed\"} 0.5\n", true);
    check_written("\nt_counter{queue=\"ao\",outcome=\"k\"} 1.0\n", true);
    check_written("queue=\"b\"", false); /* asking makes no series */
}
END_TEST

START_TEST(label_values_are_escaped)
{
    static const struct metric_desc desc = {.name = "t_escaped",
                                            .help = "Escaped.",
                                            .type = METRIC_GAUGE,
                                            .labels = {"text"}};
    struct metric *metric = metric_register(&desc);

    metric_set(metric, 1, VALUES("a\\b\"c\nd\xc3\xa9"));
    metric_set(metric, 2, VALUES(""));
    check_written("\nt_escaped{text=\"a\\\\b\\\"c\\nd\xc3\xa9\"} 1.0\n", true);
    check_written("\nt_escaped{text=\"\"} 2.0\n", true);
}
END_TEST

START_TEST(gauges_are_set_and_forgotten)
{
    static const struct metric_desc desc = {.name = "t_gauge",
                                            .help = "Set.",
                                            .type = METRIC_GAUGE,
                                            .labels = {"queue"}};
    static const struct metric_desc bare = {.name = "t_bare",
                                            .help = "Without labels.",
                                            .type = METRIC_GAUGE};
    struct metric *metric = metric_register(&desc);
    struct metric *alone = metric_register(&bare);

    metric_set(metric, 3, VALUES("a"));
    metric_add(metric, -4, VALUES("a"));
    metric_set(metric, (double)INFINITY, VALUES("b"));
    check_written("\nt_gauge{queue=\"a\"} -1.0\n", true);
    check_written("\nt_gauge{queue=\"b\"} +Inf\n", true);
    metric_forget(metric, VALUES("a"));
    metric_forget(metric, VALUES("never"));
    check_written("\nt_gauge{queue=\"a\"}", false);
    check_written("\nt_gauge{queue=\"b\"} +Inf\n", true);
    ck_assert_double_eq_tol(metric_value(metric, VALUES("a")), 0.0, 1e-9);

    metric_set(alone, -(double)INFINITY, NULL);
    check_written("\nt_bare -Inf\n", true);
    metric_set(alone, (double)NAN, NULL);
    check_written("\nt_bare NaN\n", true);
}
END_TEST

static const double bounds[] = {0.5, 1, 2.5};

START_TEST(histograms_add_up)
{
    static const struct metric_desc desc = {.name = "t_histogram",
                                            .help = "Observed.",
                                            .type = METRIC_HISTOGRAM,
                                            .labels = {"queue"},
                                            .buckets = bounds,
                                            .bucket_count = 3};
    static const double seen[] = {0.5, 0.25, 0.75, 2.5, 3, -1};
    struct metric *metric = metric_register(&desc);

    for (size_t i = 0; i < sizeof seen / sizeof seen[0]; i++)
        metric_observe(metric, seen[i], VALUES("a"));
    ck_assert_double_eq_tol(metric_value(metric, VALUES("a")), 6.0, 1e-9);
    check_written("\nt_histogram_bucket{queue=\"a\",le=\"0.5\"} 3\n"
                  "t_histogram_bucket{queue=\"a\",le=\"1.0\"} 4\n"
                  "t_histogram_bucket{queue=\"a\",le=\"2.5\"} 5\n"
                  "t_histogram_bucket{queue=\"a\",le=\"+Inf\"} 6\n"
                  "t_histogram_sum{queue=\"a\"} 6.0\n"
                  "t_histogram_count{queue=\"a\"} 6\n",
                  true);
}
END_TEST

START_TEST(what_is_no_number_is_not_observed)
{
    static const struct metric_desc desc = {.name = "t_nan",
                                            .help = "Observed.",
                                            .type = METRIC_HISTOGRAM,
                                            .buckets = bounds,
                                            .bucket_count = 3};
    struct metric *metric = metric_register(&desc);

    metric_observe(metric, (double)NAN, NULL);
    metric_observe(metric, -(double)NAN, NULL);
    check_written("t_nan_count", false);
    metric_observe(metric, 0.75, NULL);
    metric_observe(metric, (double)NAN, NULL);
    check_written("\nt_nan_bucket{le=\"0.5\"} 0\n"
                  "t_nan_bucket{le=\"1.0\"} 1\n"
                  "t_nan_bucket{le=\"2.5\"} 1\n"
                  "t_nan_bucket{le=\"+Inf\"} 1\n"
                  "t_nan_sum 0.75\n"
                  "t_nan_count 1\n",
                  true);
    metric_observe(metric, (double)INFINITY, NULL);
    check_written("t_nan_bucket{le=\"2.5\"} 1\n"
                  "t_nan_bucket{le=\"+Inf\"} 2\n"
                  "t_nan_sum +Inf\n",
                  true);
}
END_TEST

static void set_gauge(void *arg)
{
    metric_add(arg, 1, NULL);
}

START_TEST(collectors_run_before_every_exposition)
{
    static const struct metric_desc desc = {.name = "t_collected",
                                            .help = "Looked up.",
                                            .type = METRIC_GAUGE};
    struct metric *metric = metric_register(&desc);

    metrics_on_collect(set_gauge, metric);
    check_written("\nt_collected 1.0\n", true);
    check_written("\nt_collected 2.0\n", true);
}
END_TEST

UNIT_MAIN("metrics", counts_by_labels, label_values_are_escaped,
          gauges_are_set_and_forgotten, histograms_add_up,
          what_is_no_number_is_not_observed,
          collectors_run_before_every_exposition)
