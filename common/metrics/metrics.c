/* SPDX-License-Identifier: MIT */
#include "metrics/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/xalloc.h"
#include "celery/json_write.h"

enum { METRICS_MAX = 128, COLLECTORS_MAX = 16, TABLE_SIZE = 256 };

struct series {
    struct series *next;
    uint64_t hash;
    char *values[METRIC_LABELS_MAX];
    double value; /* a histogram's sum */
    uint64_t count;
    uint64_t buckets[METRIC_BUCKETS_MAX];
};

struct metric {
    const struct metric_desc *desc;
    size_t label_count;
    struct lock lock;
    struct series *table[TABLE_SIZE];
};

const double metric_default_buckets[14] = {.005, .01, .025, .05, .075, .1,  .25,
                                           .5,   .75, 1,    2.5, 5,    7.5, 10};

static struct lock registry_lock = {PTHREAD_MUTEX_INITIALIZER};
static struct metric *registry[METRICS_MAX];
static size_t registered;
static struct {
    metrics_collect_fn collect;
    void *arg;
} collectors[COLLECTORS_MAX];
static size_t collector_count;

struct metric *metric_register(const struct metric_desc *desc)
{
    struct metric *metric = NULL;
    lock_acquire(&registry_lock);
    for (size_t i = 0; i < registered && metric == NULL; i++) {
        if (strcmp(registry[i]->desc->name, desc->name) == 0)
            metric = registry[i];
    }
    if (metric == NULL && registered < METRICS_MAX) {
        metric = xcalloc(1, sizeof *metric);
        metric->desc = desc;
        (void)pthread_mutex_init(&metric->lock.mutex, NULL);
        while (metric->label_count < METRIC_LABELS_MAX
               && desc->labels[metric->label_count] != NULL)
            metric->label_count++;
        registry[registered++] = metric;
    }
    lock_release(&registry_lock);
    if (metric == NULL)
        abort(); /* METRICS_MAX is a constant of this file: raise it */
    return metric;
}

static uint64_t hash_values(const struct metric *metric,
                            const char *const *values)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < metric->label_count; i++) {
        for (const char *p = values[i]; *p != '\0'; p++)
            hash = (hash ^ (unsigned char)*p) * UINT64_C(1099511628211);
        hash = (hash ^ 0xff) * UINT64_C(1099511628211);
    }
    return hash;
}

static bool same_values(const struct metric *metric, const struct series *s,
                        const char *const *values)
{
    for (size_t i = 0; i < metric->label_count; i++) {
        if (strcmp(s->values[i], values[i]) != 0)
            return false;
    }
    return true;
}

/* The link that points at the series, or at the NULL where it would go. */
static struct series **find(struct metric *metric, uint64_t hash,
                            const char *const *values)
{
    struct series **link = &metric->table[hash % TABLE_SIZE];
    while (*link != NULL
           && ((*link)->hash != hash || !same_values(metric, *link, values)))
        link = &(*link)->next;
    return link;
}

static struct series *find_or_add(struct metric *metric,
                                  const char *const *values)
{
    uint64_t hash = hash_values(metric, values);
    struct series **link = find(metric, hash, values);
    if (*link == NULL) {
        struct series *s = xcalloc(1, sizeof *s);
        s->hash = hash;
        for (size_t i = 0; i < metric->label_count; i++)
            s->values[i] = xstrdup(values[i]);
        *link = s;
    }
    return *link;
}

void metric_add(struct metric *metric, double amount, const char *const *values)
{
    lock_acquire(&metric->lock);
    find_or_add(metric, values)->value += amount;
    lock_release(&metric->lock);
}

void metric_set(struct metric *metric, double value, const char *const *values)
{
    lock_acquire(&metric->lock);
    find_or_add(metric, values)->value = value;
    lock_release(&metric->lock);
}

void metric_observe(struct metric *metric, double value,
                    const char *const *values)
{
    if (isnan(value))
        return;
    lock_acquire(&metric->lock);
    struct series *s = find_or_add(metric, values);
    s->value += value;
    s->count++;
    size_t i = 0;
    while (i < metric->desc->bucket_count && value > metric->desc->buckets[i])
        i++;
    if (i < metric->desc->bucket_count)
        s->buckets[i]++;
    lock_release(&metric->lock);
}

void metric_forget(struct metric *metric, const char *const *values)
{
    lock_acquire(&metric->lock);
    struct series **link = find(metric, hash_values(metric, values), values);
    struct series *s = *link;
    if (s != NULL) {
        *link = s->next;
        for (size_t i = 0; i < metric->label_count; i++)
            free(s->values[i]);
        free(s);
    }
    lock_release(&metric->lock);
}

double metric_value(struct metric *metric, const char *const *values)
{
    lock_acquire(&metric->lock);
    struct series *s = *find(metric, hash_values(metric, values), values);
    double value = 0.0;
    if (s != NULL)
        value = metric->desc->type == METRIC_HISTOGRAM ? (double)s->count
                                                       : s->value;
    lock_release(&metric->lock);
    return value;
}

void metrics_on_collect(metrics_collect_fn collect, void *arg)
{
    lock_acquire(&registry_lock);
    if (collector_count < COLLECTORS_MAX) {
        collectors[collector_count].collect = collect;
        collectors[collector_count].arg = arg;
        collector_count++;
    }
    lock_release(&registry_lock);
}

static void put_label_value(struct celery_buf *buf, const char *value)
{
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\\' || *p == '"')
            celery_buf_printf(buf, "\\%c", *p);
        else if (*p == '\n')
            celery_buf_append(buf, CELERY_STR("\\n"));
        else
            celery_buf_printf(buf, "%c", *p);
    }
}

/* {a="x",b="y",le="0.5"}; le NULL for what is no bucket. */
static void put_labels(struct celery_buf *buf, const struct metric *metric,
                       const struct series *s, const char *le)
{
    if (metric->label_count == 0 && le == NULL)
        return;
    const char *sep = "{";
    for (size_t i = 0; i < metric->label_count; i++) {
        celery_buf_printf(buf, "%s%s=\"", sep, metric->desc->labels[i]);
        put_label_value(buf, s->values[i]);
        celery_buf_append(buf, CELERY_STR("\""));
        sep = ",";
    }
    if (le != NULL)
        celery_buf_printf(buf, "%sle=\"%s\"", sep, le);
    celery_buf_append(buf, CELERY_STR("}"));
}

static void put_number(struct celery_buf *buf, double value)
{
    char text[32];
    if (isnan(value)) {
        celery_buf_append(buf, CELERY_STR("NaN"));
    } else if (isinf(value)) {
        celery_buf_printf(buf, "%sInf", value > 0 ? "+" : "-");
    } else {
        (void)celery_double_repr(value, text);
        celery_buf_printf(buf, "%s", text);
    }
}

static void put_histogram(struct celery_buf *buf, const struct metric *metric,
                          const struct series *s)
{
    const struct metric_desc *desc = metric->desc;
    uint64_t total = 0;
    for (size_t i = 0; i < desc->bucket_count; i++) {
        char le[32];
        (void)celery_double_repr(desc->buckets[i], le);
        total += s->buckets[i];
        celery_buf_printf(buf, "%s_bucket", desc->name);
        put_labels(buf, metric, s, le);
        celery_buf_printf(buf, " %" PRIu64 "\n", total);
    }
    celery_buf_printf(buf, "%s_bucket", desc->name);
    put_labels(buf, metric, s, "+Inf");
    celery_buf_printf(buf, " %" PRIu64 "\n%s_sum", s->count, desc->name);
    put_labels(buf, metric, s, NULL);
    celery_buf_append(buf, CELERY_STR(" "));
    put_number(buf, s->value);
    celery_buf_printf(buf, "\n%s_count", desc->name);
    put_labels(buf, metric, s, NULL);
    celery_buf_printf(buf, " %" PRIu64 "\n", s->count);
}

static void put_series(struct celery_buf *buf, const struct metric *metric,
                       const struct series *s)
{
    if (metric->desc->type == METRIC_HISTOGRAM) {
        put_histogram(buf, metric, s);
        return;
    }
    celery_buf_printf(buf, "%s", metric->desc->name);
    put_labels(buf, metric, s, NULL);
    celery_buf_append(buf, CELERY_STR(" "));
    put_number(buf, s->value);
    celery_buf_append(buf, CELERY_STR("\n"));
}

static void put_metric(struct celery_buf *buf, struct metric *metric)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    const struct metric_desc *desc = metric->desc;
    celery_buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n", desc->name,
                      desc->help, desc->name, types[desc->type]);
    lock_acquire(&metric->lock);
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        for (const struct series *s = metric->table[i]; s != NULL; s = s->next)
            put_series(buf, metric, s);
    }
    lock_release(&metric->lock);
}

void metrics_write(struct celery_buf *buf)
{
    lock_acquire(&registry_lock);
    size_t calls = collector_count;
    lock_release(&registry_lock);
    for (size_t i = 0; i < calls; i++)
        collectors[i].collect(collectors[i].arg);

    lock_acquire(&registry_lock);
    size_t count = registered;
    lock_release(&registry_lock);
    for (size_t i = 0; i < count; i++)
        put_metric(buf, registry[i]);
}
