/* SPDX-License-Identifier: MIT */
/*
 * CPU nanoseconds a decode and an encode of one message (a file, as it stands in
 * the broker), and cJSON's parse of the same bytes. Each figure is the median
 * of 21 rounds. Not a test.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "celery/message.h"

enum { ROUNDS = 21, ITERATIONS = 20000 };

static char raw[1 << 20];
static struct celery_str message;
static struct celery_arena arena;
static struct celery_buf buf;
static struct celery_task_out out;

static void fail(const char *what)
{
    (void)fprintf(stderr, "codec_loop: %s\n", what);
    exit(1);
}

static void decode(void)
{
    struct celery_envelope e;
    struct celery_message m;

    celery_arena_clear(&arena);
    if (celery_envelope_decode(message, NULL, &arena, &e, NULL) != CELERY_OK
        || celery_message_decode(&e, CELERY_ACCEPT_JSON, NULL, &arena, &m, NULL)
               != CELERY_OK)
        fail("the message does not decode");
}

static void encode(void)
{
    celery_buf_clear(&buf);
    if (celery_message_encode_envelope(
            &out, "d507a965-2fc5-499c-ba52-f2ab6ad46967", &buf, NULL)
        != CELERY_OK)
        fail("the message does not encode");
}

static void parse_with_cjson(void)
{
    cJSON *root = cJSON_ParseWithLength(message.data, message.len);
    if (root == NULL)
        fail("cJSON refuses the message");
    cJSON_Delete(root);
}

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, void (*run)(void))
{
    double ns[ROUNDS];

    for (size_t i = 0; i < ROUNDS; i++) {
        double begin = now_ns();
        for (int n = 0; n < ITERATIONS; n++)
            run();
        ns[i] = (now_ns() - begin) / ITERATIONS;
    }
    qsort(ns, ROUNDS, sizeof ns[0], compare);
    (void)printf("%s %.0f\n", name, ns[ROUNDS / 2]);
}

static void prepare_encode(struct celery_arena *kept)
{
    struct celery_envelope e;
    struct celery_message m;

    if (celery_envelope_decode(message, NULL, kept, &e, NULL) != CELERY_OK
        || celery_message_decode(&e, CELERY_ACCEPT_JSON, NULL, kept, &m, NULL)
               != CELERY_OK
        || celery_message_retry(&m, &e, kept, &out) != CELERY_OK)
        fail("the message does not decode");
}

int main(int argc, char **argv)
{
    struct celery_arena kept = CELERY_ARENA_INIT;

    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (f == NULL)
        fail("usage: codec_loop FILE");
    message = (struct celery_str){raw, fread(raw, 1, sizeof raw, f)};
    (void)fclose(f);
    prepare_encode(&kept);
    measure("decode", decode);
    measure("encode", encode);
    measure("cjson", parse_with_cjson);
    celery_arena_done(&kept);
    celery_arena_done(&arena);
    celery_buf_done(&buf);
    return 0;
}
