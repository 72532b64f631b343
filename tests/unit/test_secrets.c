/* SPDX-License-Identifier: MIT */
#include "secrets.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"
#include "support/unit.h"

enum { READERS = 4, TURNS = 200 };

static struct secret_store store;
static _Atomic bool stopping;

static struct conf *load(const char *tokens, const char *webhook)
{
    struct celery_error err = {0};
    struct conf *conf = NULL;
    size_t count = 0;
    char *argv[] = {(char[]){"prog"}, NULL};
    const struct conf_setting *settings = api_settings(&count);
    (void)setenv("API_TOKEN", tokens, 1);
    (void)setenv("WEBHOOK_SECRET", webhook, 1);
    ck_assert_msg(conf_load(settings, count, 1, argv, &conf, &err) == CELERY_OK,
                  "%s", err.msg);
    return conf;
}

/* Both say which turn they are of. */
static struct secrets *set_of(int turn)
{
    struct celery_error err = {0};
    struct secrets *secrets = NULL;
    char token[64];
    char webhook[64];
    (void)snprintf(token, sizeof token, "t%d:read:token-%03d", turn, turn);
    (void)snprintf(webhook, sizeof webhook, "secret-t%d", turn);
    struct conf *conf = load(token, webhook);
    ck_assert_int_eq(secrets_read(conf, &secrets, &err), CELERY_OK);
    conf_free(conf);
    return secrets;
}

/* Sees sets that were put there as a whole, and each to its end. */
static void *reader(void *arg)
{
    (void)arg;
    while (!stopping) {
        struct secrets *held = secrets_hold(&store);
        ck_assert_uint_eq(held->auth.count, 1);
        const struct signing_secrets *keys = &held->sources->list[0].secrets;
        ck_assert_uint_eq(keys->count, 1);
        ck_assert_str_eq(held->auth.tokens[0].name,
                         keys->list[0].text + strlen("secret-"));
        secrets_release(&store, held);
    }
    return NULL;
}

START_TEST(a_set_changes_as_a_whole)
{
    pthread_t threads[READERS];
    stopping = false;
    secret_store_init(&store, set_of(0));
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, reader, NULL), 0);
    for (int turn = 1; turn < TURNS; turn++)
        secret_store_swap(&store, set_of(turn));
    stopping = true;
    for (int i = 0; i < READERS; i++)
        (void)pthread_join(threads[i], NULL);
    secret_store_done(&store);
}
END_TEST

START_TEST(who_holds_a_set_keeps_it)
{
    secret_store_init(&store, set_of(1));
    struct secrets *held = secrets_hold(&store);
    secret_store_swap(&store, set_of(2));
    ck_assert_str_eq(held->auth.tokens[0].name, "t1");
    struct secrets *now = secrets_hold(&store);
    ck_assert_str_eq(now->auth.tokens[0].name, "t2");
    secrets_release(&store, now);
    secrets_release(&store, held);
    secret_store_done(&store);
}
END_TEST

START_TEST(a_wrong_secret_makes_no_set)
{
    static const char *const wrong[][2] = {{",", "good-secret"},
                                           {"good-token", ","},
                                           {"good-token", "whsec_"},
                                           {"short", "good-secret"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct celery_error err = {0};
        struct secrets *secrets = NULL;
        struct conf *conf = load(wrong[i][0], wrong[i][1]);
        ck_assert_int_eq(secrets_read(conf, &secrets, &err), CELERY_INVALID);
        ck_assert_ptr_null(secrets);
        ck_assert_ptr_nonnull(strstr(err.msg, "accepted"));
        conf_free(conf);
    }
}
END_TEST

UNIT_MAIN("secrets", a_set_changes_as_a_whole, who_holds_a_set_keeps_it,
          a_wrong_secret_makes_no_set)
