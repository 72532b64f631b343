/* SPDX-License-Identifier: MIT */
/*
 * What scripts/bench.sh rabbitmq measures ours against: librabbitmq alone, as its
 * own examples use it, with the same prefetch and the same messages; and our
 * producer.
 *
 *     amqp_loop consume HOST PORT VHOST QUEUE PREFETCH COUNT
 *     amqp_loop publish HOST PORT VHOST QUEUE BODY COUNT HEADERS
 *     amqp_loop ours URL QUEUE COUNT
 *
 * Prints the messages, the seconds and the CPU seconds.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "amqp/amqp_table.h"
#include "base/clock.h"
#include "base/random_id.h"
#include "celery/producer.h"

enum { CHANNEL = 1, WINDOW = 1000, FRAME = 131072, CALL = 5000 };

static void die(const char *what)
{
    (void)fprintf(stderr, "amqp_loop: %s failed\n", what);
    exit(EXIT_FAILURE);
}

static void check(amqp_connection_state_t state, const char *what)
{
    if (amqp_get_rpc_reply(state).reply_type != AMQP_RESPONSE_NORMAL)
        die(what);
}

static double cpu_seconds(void)
{
    struct rusage u = {0};
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec)
         + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / USEC_PER_SEC;
}

static void report(size_t count, int64_t start)
{
    (void)printf("%zu %.6f %.6f\n", count,
                 (double)(clock_monotonic_us() - start) / USEC_PER_SEC,
                 cpu_seconds());
}

static amqp_connection_state_t connect_to(char **argv)
{
    amqp_connection_state_t state = amqp_new_connection();
    amqp_socket_t *sock = amqp_tcp_socket_new(state);
    if (amqp_socket_open(sock, argv[0], (int)strtol(argv[1], NULL, 10)) != 0)
        die("connect");
    if (amqp_login(state, argv[2], 0, FRAME, 0, AMQP_SASL_METHOD_PLAIN, "guest",
                   "guest")
            .reply_type
        != AMQP_RESPONSE_NORMAL)
        die("login");
    (void)amqp_channel_open(state, CHANNEL);
    check(state, "channel");
    return state;
}

static void consume(char **argv)
{
    amqp_connection_state_t state = connect_to(argv);
    size_t count = strtoul(argv[5], NULL, 10);
    size_t prefetch = strtoul(argv[4], NULL, 10);
    (void)amqp_basic_qos(state, CHANNEL, 0, (uint16_t)prefetch, 1);
    check(state, "qos");
    int64_t start = clock_monotonic_us();
    (void)amqp_basic_consume(state, CHANNEL, amqp_cstring_bytes(argv[3]),
                             amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    check(state, "consume");
    for (size_t i = 0; i < count; i++) {
        amqp_envelope_t envelope;
        amqp_maybe_release_buffers(state);
        if (amqp_consume_message(state, &envelope, NULL, 0).reply_type
            != AMQP_RESPONSE_NORMAL)
            die("a delivery");
        /* One frame for half a window, so that the server never waits for it. */
        if (((i + 1) % (prefetch / 2) == 0 || i + 1 == count)
            && amqp_basic_ack(state, CHANNEL, envelope.delivery_tag, 1) != 0)
            die("ack");
        amqp_destroy_envelope(&envelope);
    }
    report(count, start);
}

/* Reads confirms until no more than left are open. */
static void wait_confirms(amqp_connection_state_t state, uint64_t sent,
                          uint64_t *confirmed, uint64_t left)
{
    while (sent - *confirmed > left) {
        amqp_frame_t frame;
        amqp_maybe_release_buffers(state);
        if (amqp_simple_wait_frame(state, &frame) != 0)
            die("a confirm");
        if (frame.frame_type != AMQP_FRAME_METHOD
            || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
            continue;
        const amqp_basic_ack_t *ack = frame.payload.method.decoded;
        *confirmed = ack->multiple ? ack->delivery_tag : *confirmed + 1;
    }
}

static void publish(char **argv)
{
    amqp_connection_state_t state = connect_to(argv);
    size_t count = strtoul(argv[5], NULL, 10);
    uint64_t confirmed = 0;
    char id[CELERY_TASK_ID_LEN + 1];
    amqp_pool_t pool;
    struct celery_json root;
    init_amqp_pool(&pool, 4096);
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG
                | AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .delivery_mode = 2,
    };
    if (celery_json_parse((struct celery_str){argv[6], strlen(argv[6])}, NULL,
                          &root, NULL)
            != CELERY_OK
        || amqp_table_from_json(root, &pool, &properties.headers, NULL)
               != CELERY_OK)
        die("reading the headers");
    amqp_table_entry_t *id_entry = NULL;
    for (int i = 0; i < properties.headers.num_entries; i++) {
        amqp_table_entry_t *entry = &properties.headers.entries[i];
        if (entry->key.len == 2 && memcmp(entry->key.bytes, "id", 2) == 0)
            id_entry = entry;
    }
    if (id_entry == NULL)
        die("finding the id");
    (void)amqp_confirm_select(state, CHANNEL);
    check(state, "confirms");
    int64_t start = clock_monotonic_us();
    for (size_t i = 0; i < count; i++) {
        random_id(id);
        id_entry->value.value.bytes = amqp_cstring_bytes(id);
        properties.correlation_id = amqp_cstring_bytes(id);
        if (amqp_basic_publish(state, CHANNEL, amqp_empty_bytes,
                               amqp_cstring_bytes(argv[3]), 1, 0, &properties,
                               amqp_cstring_bytes(argv[4]))
            != 0)
            die("publish");
        wait_confirms(state, i + 1, &confirmed, WINDOW);
    }
    wait_confirms(state, count, &confirmed, 0);
    report(count, start);
    empty_amqp_pool(&pool);
}

static void ours(char **argv)
{
    static struct celery_task_out tasks[CALL];
    static char ids[CALL][CELERY_TASK_ID_LEN + 1];
    const struct celery_producer_options options = {.broker_url = argv[0]};
    struct celery_producer *producer = NULL;
    struct celery_error err = {0};
    size_t count = strtoul(argv[2], NULL, 10);
    if (celery_producer_new(&options, &producer, &err) != CELERY_OK)
        die(err.msg);
    int64_t start = clock_monotonic_us();
    for (size_t done = 0; done < count; done += CALL) {
        for (size_t i = 0; i < CALL; i++) {
            random_id(ids[i]);
            tasks[i] = (struct celery_task_out){.task = "t.noop",
                                                .id = ids[i],
                                                .group_index = -1,
                                                .routing_key = argv[1]};
        }
        if (celery_producer_send(producer, tasks, CALL, NULL, &err)
            != CELERY_OK)
            die(err.msg);
    }
    report(count, start);
    celery_producer_free(producer);
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "consume") == 0)
        consume(argv + 2);
    else if (argc == 9 && strcmp(argv[1], "publish") == 0)
        publish(argv + 2);
    else if (argc == 5 && strcmp(argv[1], "ours") == 0)
        ours(argv + 2);
    else
        die("reading the arguments");
    return EXIT_SUCCESS;
}
