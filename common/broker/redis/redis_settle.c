/* SPDX-License-Identifier: MIT */
/*
 * Settling: ack, reject with requeue, give back, dead-letter. Each is "if our
 * tag is still there, then"; a tag that is gone means that a peer took the claim
 * over, and then nothing is touched.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "broker/dead_letter.h"
#include "broker/redis/redis_broker.h"

enum { ACKS_PER_SCRIPT = 512 };

/* KEYS: unacked, unacked_index. ARGV: tags. Answers a digit a tag: 1 ours. */
static struct redis_script ack_script = {
    .source = "local out = {}\n"
              "for i = 1, #ARGV do\n"
              "  out[i] = redis.call('HDEL', KEYS[1], ARGV[i])\n"
              "end\n"
              "redis.call('ZREM', KEYS[2], unpack(ARGV))\n"
              "return table.concat(out)\n"};

/* KEYS: unacked, unacked_index, list, and for another worker's claim the key that
 * says that it lives. ARGV: tag, text, LPUSH or RPUSH, and for an expired claim
 * the score it must not have passed meanwhile; without a text the length of what
 * stands behind the claimed message. What is true when the claim is
 * chosen need not be when it is moved. LLEN makes a list of the wrong type fail
 * before the claim is removed. */
static struct redis_script move_script = {
    .source = "if KEYS[4] and redis.call('EXISTS', KEYS[4]) == 1 then "
              "return 0 end\n"
              "if ARGV[4] ~= '' then\n"
              "  local s = redis.call('ZSCORE', KEYS[2], ARGV[1])\n"
              "  if s and tonumber(s) > tonumber(ARGV[4]) then return 0 end\n"
              "end\n"
              "redis.call('LLEN', KEYS[3])\n"
              "local text = ARGV[2]\n"
              "if text == '' then\n"
              "  text = redis.call('HGET', KEYS[1], ARGV[1])\n"
              "  if not text then return 0 end\n"
              "  text = string.sub(text, 2, -ARGV[5] - 1)\n"
              "end\n"
              "if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end\n"
              "redis.call('ZREM', KEYS[2], ARGV[1])\n"
              "redis.call(ARGV[3], KEYS[3], text)\n"
              "return 1\n"};

enum celery_status redis_settle_load(struct redis_broker *rb,
                                     struct celery_error *err)
{
    int64_t deadline = redis_broker_deadline(rb);
    enum celery_status st =
        redis_script_load(rb->commands, &ack_script, deadline, err);
    if (st == CELERY_OK)
        st = redis_script_load(rb->commands, &move_script, deadline, err);
    return st;
}

static struct celery_str text_of(const char *text)
{
    return (struct celery_str){text, strlen(text)};
}

static void append_move(struct redis_broker *rb, const struct redis_move *move)
{
    char *unacked = redis_key(rb, "unacked");
    char *index = redis_key(rb, "unacked_index");
    struct celery_str argv[9];
    size_t count = 0;
    argv[count++] = text_of(unacked);
    argv[count++] = text_of(index);
    argv[count++] = text_of(move->list_key);
    if (move->alive_key != NULL)
        argv[count++] = text_of(move->alive_key);
    size_t keys = count;
    argv[count++] = move->tag;
    argv[count++] = move->text;
    argv[count++] = text_of(move->to_front ? "RPUSH" : "LPUSH");
    argv[count++] = text_of(move->max_score != NULL ? move->max_score : "");
    char tail[24];
    (void)snprintf(tail, sizeof tail, "%zu", move->tail_len);
    argv[count++] = text_of(tail);
    redis_script_append(rb->commands, &move_script, keys, count, argv);
    free(unacked);
    free(index);
}

enum celery_status redis_move_claim(struct redis_broker *rb,
                                    const struct redis_move *move,
                                    bool *ret_moved, struct celery_error *err)
{
    redisReply *reply = NULL;
    append_move(rb, move);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return st;
    *ret_moved = reply->integer == 1;
    freeReplyObject(reply);
    return CELERY_OK;
}

/* Appends one ack script for up to ACKS_PER_SCRIPT settlements from at on;
 * returns how many settlements it looked at. */
static size_t append_acks(struct redis_broker *rb,
                          const struct broker_settlement *settlements,
                          size_t count, size_t *ret_acks)
{
    struct celery_str argv[ACKS_PER_SCRIPT + 2];
    char *unacked = redis_key(rb, "unacked");
    char *index = redis_key(rb, "unacked_index");
    size_t argc = 2;
    size_t seen = 0;
    argv[0] = (struct celery_str){unacked, strlen(unacked)};
    argv[1] = (struct celery_str){index, strlen(index)};
    for (; seen < count && argc < ACKS_PER_SCRIPT + 2; seen++) {
        const struct broker_settlement *s = &settlements[seen];
        if (s->how == BROKER_ACK)
            argv[argc++] = (struct celery_str){s->tag, strlen(s->tag)};
    }
    if (argc > 2)
        redis_script_append(rb->commands, &ack_script, 2, argc, argv);
    *ret_acks = argc - 2;
    free(unacked);
    free(index);
    return seen;
}

static void append_other(struct redis_broker *rb,
                         const struct broker_settlement *s)
{
    const char *queue = rb->broker.queues[s->queue].name;
    struct celery_buf entry = CELERY_BUF_INIT;
    struct celery_str text = s->raw;
    char *list = NULL;
    if (s->how == BROKER_DEAD_LETTER) {
        char *dead = xasprintf("%s.dead", queue);
        list = redis_key(rb, dead);
        free(dead);
        broker_dead_entry(&entry, queue, s->reason, s->detail, s->raw);
        text = celery_buf_str(&entry);
    } else {
        list = redis_list_key(rb, queue, s->step);
    }
    const struct redis_move move = {.tag = text_of(s->tag),
                                    .list_key = list,
                                    .text = text,
                                    .tail_len = redis_claim_tail_len(queue),
                                    .to_front = s->how == BROKER_GIVE_BACK};
    append_move(rb, &move);
    free(list);
    celery_buf_done(&entry);
}

static enum celery_status read_acks(struct redis_broker *rb,
                                    struct broker_settlement *settlements,
                                    size_t seen, size_t acks,
                                    struct celery_error *err)
{
    redisReply *reply = NULL;
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return st;
    if (reply->type != REDIS_REPLY_STRING || reply->len != acks) {
        freeReplyObject(reply);
        return celery_fail(err, CELERY_MALFORMED, "the ack script's answer");
    }
    size_t at = 0;
    for (size_t i = 0; i < seen; i++) {
        if (settlements[i].how == BROKER_ACK)
            settlements[i].lost = reply->str[at++] == '0';
    }
    freeReplyObject(reply);
    return CELERY_OK;
}

static enum celery_status settle_acks(struct redis_broker *rb,
                                      struct broker_settlement *settlements,
                                      size_t count, struct celery_error *err)
{
    size_t at = 0;
    while (at < count) {
        size_t acks = 0;
        size_t seen = append_acks(rb, settlements + at, count - at, &acks);
        if (acks > 0) {
            enum celery_status st =
                read_acks(rb, settlements + at, seen, acks, err);
            if (st != CELERY_OK)
                return st;
        }
        at += seen;
    }
    return CELERY_OK;
}

enum celery_status redis_settle(struct broker *broker,
                                struct broker_settlement *settlements,
                                size_t count, struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    enum celery_status st = settle_acks(rb, settlements, count, err);
    for (size_t i = 0; i < count && st == CELERY_OK; i++) {
        if (settlements[i].how != BROKER_ACK)
            append_other(rb, &settlements[i]);
    }
    for (size_t i = 0; i < count && st == CELERY_OK; i++) {
        if (settlements[i].how == BROKER_ACK)
            continue;
        redisReply *reply = NULL;
        st = redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply,
                            err);
        if (st == CELERY_OK) {
            settlements[i].lost = reply->integer == 0;
            freeReplyObject(reply);
        }
    }
    /* A NOSCRIPT is an INVALID answer; connecting again loads the scripts. */
    return st != CELERY_OK ? redis_broker_drop(rb, CELERY_CLOSED) : st;
}
