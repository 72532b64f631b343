/* SPDX-License-Identifier: MIT */
/*
 * Counters, gauges and histograms in Prometheus' text format (version 0.0.4).
 * Thread-safe. Metrics are registered once at start and never removed; a series
 * (one set of label values) appears when it is first touched.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include <stddef.h>

#include "celery/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum { METRIC_LABELS_MAX = 5, METRIC_BUCKETS_MAX = 24 };

struct metric_desc {
    const char *name;
    const char *help;
    enum metric_type type;
    const char *labels[METRIC_LABELS_MAX]; /* up to the first NULL */
    const double *buckets; /* histograms: rising upper bounds, without +Inf */
    size_t bucket_count;
};

struct metric;

/* .005 .01 .025 .05 .075 .1 .25 .5 .75 1 2.5 5 7.5 10: the Python client's. */
extern const double metric_default_buckets[14];

/* The same metric when desc->name is registered already. desc must be static. */
struct metric *metric_register(const struct metric_desc *desc);

/* values: as many label values as the metric has labels; NULL when none. Adding 0
 * makes the series, a histogram's too: what is not there has no rate. */
void metric_add(struct metric *metric, double amount,
                const char *const *values);
void metric_set(struct metric *metric, double value, const char *const *values);
/* What is no number is no observation: it would make the sum one for good. */
void metric_observe(struct metric *metric, double value,
                    const char *const *values);

/* Removes a series that no longer means anything (a queue no longer consumed). */
void metric_forget(struct metric *metric, const char *const *values);

/* The current value of a counter or gauge (0 when untouched), or a histogram's
 * count. */
double metric_value(struct metric *metric, const char *const *values);

/* Called before every exposition, in the thread that asks for it, to set gauges
 * whose value is looked up. */
typedef void (*metrics_collect_fn)(void *arg);
void metrics_on_collect(metrics_collect_fn collect, void *arg);

/* Runs the collectors and appends the whole exposition. */
void metrics_write(struct celery_buf *buf);

#define METRIC_INC(m, ...) \
    metric_add((m), 1.0, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

#endif /* METRICS_METRICS_H */
