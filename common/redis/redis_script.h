/* SPDX-License-Identifier: MIT */
/*
 * Lua scripts by their SHA-1: EVALSHA, and SCRIPT LOAD when the server does not
 * know it (a restart, SCRIPT FLUSH, a failover).
 */
#ifndef REDIS_REDIS_SCRIPT_H
#define REDIS_REDIS_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "redis/redis_conn.h"

enum { REDIS_SCRIPT_ARGS_MAX = 1100 };

struct redis_script {
    const char *source;
    char sha[41]; /* filled at the first load */
};

/* Loads the script on this connection; call after every connect. */
enum celery_status redis_script_load(struct redis_conn *conn,
                                     struct redis_script *script,
                                     int64_t deadline_us,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;

/* Appends EVALSHA with keys and args, without waiting. keys + args must not
 * pass REDIS_SCRIPT_ARGS_MAX. */
void redis_script_append(struct redis_conn *conn,
                         const struct redis_script *script, size_t key_count,
                         size_t count, const struct celery_str *keys_and_args);

/* Runs it and waits; a server that forgot the script is given it again. */
enum celery_status redis_script_run(struct redis_conn *conn,
                                    struct redis_script *script,
                                    size_t key_count, size_t count,
                                    const struct celery_str *keys_and_args,
                                    int64_t deadline_us, redisReply **ret,
                                    struct celery_error *err) CELERY_MUST_CHECK;

#endif /* REDIS_REDIS_SCRIPT_H */
