/* SPDX-License-Identifier: MIT */
/*
 * Claims of which the worker keeps the tag alone: the message stands in unacked.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/redis/redis_broker.h"

/* Reads the answer for one claim. */
static enum celery_status read_kept(struct redis_broker *rb,
                                    struct broker_kept *kept,
                                    struct celery_error *err)
{
    redisReply *reply = NULL;
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return st;
    kept->ours = reply->type == REDIS_REPLY_STRING;
    if (kept->ours)
        celery_buf_append(&kept->raw, redis_unwrap(reply->str, reply->len));
    freeReplyObject(reply);
    return CELERY_OK;
}

enum celery_status redis_fetch(struct broker *broker, struct broker_kept *kept,
                               size_t count, struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    char(*fenced)[BROKER_TAG_MAX] = calloc(count, sizeof *fenced);
    enum celery_status st = CELERY_OK;
    if (fenced == NULL)
        return celery_fail(err, CELERY_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        redis_fence_append(rb, kept[i].tag, false, true, fenced[i]);
    for (size_t i = 0; i < count && st == CELERY_OK; i++) {
        st = read_kept(rb, &kept[i], err);
        if (st == CELERY_OK && kept[i].ours)
            memcpy(kept[i].tag, fenced[i], BROKER_TAG_MAX);
    }
    free(fenced);
    if (st == CELERY_OK)
        return CELERY_OK;
    /* As redis_fence(): what has moved is given back by redis_reclaim(). */
    rb->claim_unsure = true;
    return redis_broker_drop(rb, redis_broker_fatal(st) ? st : CELERY_CLOSED);
}

enum celery_status redis_peek(struct broker *broker, struct broker_kept *kept,
                              size_t count, struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    char *unacked = redis_key(rb, "unacked");
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < count; i++)
        redis_appendf(rb->commands, "HGET %s %s", unacked, kept[i].tag);
    free(unacked);
    for (size_t i = 0; i < count && st == CELERY_OK; i++)
        st = read_kept(rb, &kept[i], err);
    /* Answers are left when one was refused: the next call would take them. */
    return st == CELERY_OK ? st : redis_broker_drop(rb, CELERY_CLOSED);
}
