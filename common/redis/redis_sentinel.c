/* SPDX-License-Identifier: MIT */
#include "redis/redis_sentinel.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/xalloc.h"

enum { ASK_S = 1 };

static enum celery_status read_address(const redisReply *reply,
                                       const char *name, char **ret_host,
                                       int *ret_port, struct celery_error *err)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING)
        return celery_fail(err, CELERY_IO,
                           "the sentinel knows no master '%.60s'", name);
    char *end = NULL;
    long port = strtol(reply->element[1]->str, &end, 10);
    if (*end != '\0' || port < 1 || port > 65535)
        return celery_fail(err, CELERY_MALFORMED,
                           "the sentinel's port of '%.60s'", name);
    *ret_host = xstrndup(reply->element[0]->str, reply->element[0]->len);
    *ret_port = (int)port;
    return CELERY_OK;
}

static enum celery_status ask(const struct redis_endpoint *endpoint,
                              const struct redis_address *sentinel,
                              int64_t deadline_us, char **ret_host,
                              int *ret_port, struct celery_error *err)
{
    /* The same road as to the data, with the sentinels' own password. */
    const struct redis_endpoint one = {
        .host = sentinel->host,
        .port = sentinel->port,
        .user = endpoint->sentinel_user,
        .password = endpoint->sentinel_password,
        .use_tls = endpoint->use_tls,
        .tls = endpoint->tls,
    };
    struct redis_conn *conn = NULL;
    redisReply *reply = NULL;
    enum celery_status st =
        redis_conn_open(&one, "celery-c-sentinel", deadline_us, &conn, err);
    if (st != CELERY_OK)
        return st;
    redis_appendf(conn, "SENTINEL get-master-addr-by-name %s",
                  endpoint->master_name);
    st = redis_ok_reply(conn, deadline_us, &reply, err);
    if (st == CELERY_OK) {
        st =
            read_address(reply, endpoint->master_name, ret_host, ret_port, err);
        freeReplyObject(reply);
    }
    redis_conn_close(conn);
    return st;
}

enum celery_status redis_sentinel_master(const struct redis_endpoint *endpoint,
                                         int64_t deadline_us, char **ret_host,
                                         int *ret_port,
                                         struct celery_error *err)
{
    enum celery_status st = CELERY_IO;
    for (size_t i = 0; i < endpoint->sentinel_count && st != CELERY_OK; i++) {
        int64_t soon = clock_monotonic_us() + (int64_t)ASK_S * USEC_PER_SEC;
        st = ask(endpoint, &endpoint->sentinels[i],
                 soon < deadline_us ? soon : deadline_us, ret_host, ret_port,
                 err);
    }
    return st;
}
