/* SPDX-License-Identifier: MIT */
#include "redis/redis_script.h"

#include <stdio.h>
#include <string.h>

enum celery_status redis_script_load(struct redis_conn *conn,
                                     struct redis_script *script,
                                     int64_t deadline_us,
                                     struct celery_error *err)
{
    redisReply *reply = NULL;
    redis_appendf(conn, "SCRIPT LOAD %s", script->source);
    enum celery_status st = redis_ok_reply(conn, deadline_us, &reply, err);
    if (st != CELERY_OK)
        return st;
    if (reply->type == REDIS_REPLY_STRING && reply->len == 40)
        memcpy(script->sha, reply->str, 41);
    else
        st = celery_fail(err, CELERY_MALFORMED,
                         "SCRIPT LOAD answered no digest");
    freeReplyObject(reply);
    return st;
}

void redis_script_append(struct redis_conn *conn,
                         const struct redis_script *script, size_t key_count,
                         size_t count, const struct celery_str *keys_and_args)
{
    struct celery_str argv[REDIS_SCRIPT_ARGS_MAX + 3];
    char keys[24];
    if (count > REDIS_SCRIPT_ARGS_MAX)
        count = REDIS_SCRIPT_ARGS_MAX;
    int len = snprintf(keys, sizeof keys, "%zu", key_count);
    argv[0] = CELERY_STR("EVALSHA");
    argv[1] = (struct celery_str){script->sha, 40};
    argv[2] = (struct celery_str){keys, (size_t)len};
    memcpy(argv + 3, keys_and_args, count * sizeof argv[0]);
    redis_append(conn, count + 3, argv);
}

enum celery_status redis_script_run(struct redis_conn *conn,
                                    struct redis_script *script,
                                    size_t key_count, size_t count,
                                    const struct celery_str *keys_and_args,
                                    int64_t deadline_us, redisReply **ret,
                                    struct celery_error *err)
{
    redis_script_append(conn, script, key_count, count, keys_and_args);
    redisReply *reply = NULL;
    enum celery_status st = redis_reply(conn, deadline_us, &reply, err);
    if (st != CELERY_OK)
        return st;
    if (reply->type == REDIS_REPLY_ERROR
        && strncmp(reply->str, "NOSCRIPT", 8) == 0) {
        freeReplyObject(reply);
        st = redis_script_load(conn, script, deadline_us, err);
        if (st != CELERY_OK)
            return st;
        redis_script_append(conn, script, key_count, count, keys_and_args);
        st = redis_reply(conn, deadline_us, &reply, err);
        if (st != CELERY_OK)
            return st;
    }
    st = redis_status(reply, err);
    if (st != CELERY_OK) {
        freeReplyObject(reply);
        return st;
    }
    *ret = reply;
    return CELERY_OK;
}
