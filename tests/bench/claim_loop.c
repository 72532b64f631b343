/* SPDX-License-Identifier: MIT */
/*
 * The limit our worker is measured against: the same claim and ack scripts, the
 * same k, nothing else. Claims until the queues are empty and prints the tasks
 * and seconds it took.
 *
 *     claim_loop URL QUEUE K
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "broker/broker.h"

static void fail(const char *what, const struct celery_error *err)
{
    (void)fprintf(stderr, "claim_loop: %s: %s\n", what, err->msg);
    exit(EXIT_FAILURE);
}

static size_t claim_and_ack(struct broker *broker, size_t k)
{
    static struct broker_delivery deliveries[BROKER_CLAIM_MAX];
    static struct broker_settlement acks[BROKER_CLAIM_MAX];
    struct celery_error err = {0};
    size_t count = 0;
    if (broker_claim(broker, k, deliveries, &count, &err) != CELERY_OK)
        fail("claim", &err);
    for (size_t i = 0; i < count; i++)
        acks[i] = (struct broker_settlement){.how = BROKER_ACK,
                                             .tag = deliveries[i].tag};
    if (count > 0 && broker_settle(broker, acks, count, &err) != CELERY_OK)
        fail("ack", &err);
    for (size_t i = 0; i < count; i++)
        celery_buf_done(&deliveries[i].raw);
    return count;
}

int main(int argc, char **argv)
{
    struct broker *broker = NULL;
    struct celery_error err = {0};
    struct rusage usage = {0};
    if (argc != 4) {
        (void)fprintf(stderr, "usage: claim_loop URL QUEUE K\n");
        return EXIT_FAILURE;
    }
    const char *queue = argv[2];
    size_t k = strtoul(argv[3], NULL, 10);
    const struct broker_options options = {.url = argv[1],
                                           .queues = &queue,
                                           .queue_count = 1,
                                           .nodename = "bench@limit"};
    if (broker_open(&options, &broker, &err) != CELERY_OK
        || broker_connect(broker, &err) != CELERY_OK)
        fail("connect", &err);
    int64_t start = clock_monotonic_us();
    size_t total = 0;
    size_t count = 0;
    while ((count = claim_and_ack(broker, k)) > 0)
        total += count;
    double seconds = (double)(clock_monotonic_us() - start) / USEC_PER_SEC;
    (void)getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
               + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
                     / USEC_PER_SEC;
    (void)printf("%zu %.6f %.6f\n", total, seconds, cpu);
    broker_close(broker);
    return EXIT_SUCCESS;
}
