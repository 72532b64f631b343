/* SPDX-License-Identifier: MIT */
/*
 * Claiming: one script takes messages out of the lists and into kombu's unacked
 * tables in the same step, so that no message is between the two when a worker
 * dies. (kombu itself pops first and writes unacked in a second round trip.)
 *
 * The tag of a claim is ours and new for every claim, <worker uuid>.<counter>:
 * kombu restores by tag and compares nothing, so a late ack of a claim that was
 * taken over finds no tag and does no harm.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "broker/redis/redis_broker.h"
#include "celery/json_write.h"

enum {
    CLAIM_BYTES = 1 << 20,
    QUEUES_MAX = 64,
    LISTS_MAX = QUEUES_MAX * REDIS_STEPS,
    CLAIM_ARGS_MAX = 3 * LISTS_MAX + 8,
};

/*
 * KEYS: unacked, unacked_index, the key that says that we live, the set of
 * workers, then the lists in the order of service, then a dead list for each.
 * ARGV: how many, how many bytes, the tag's prefix, its first counter, the number
 * of lists, then for each list its queue as a JSON string, then what the key that
 * says that we live gets. Answers the number of entries sent to the dead lists, and pairs of
 * (list, message).
 *
 * EXISTS of all lists arms the wake-up for the next push (CLIENT TRACKING), so it
 * is asked whenever nothing is left to take; first of all, so that an idle claim
 * is one command. The two counts before the loop make a key of the wrong type
 * fail before anything is popped: a script is not rolled back. A claim says that
 * its worker lives: one that was stopped for longer than its key lasts is still
 * on a peer's list of the dead when it goes on.
 */
static struct redis_script claim_script = {
    .source =
        "local max, budget = tonumber(ARGV[1]), tonumber(ARGV[2])\n"
        "local prefix, n, lists = ARGV[3], tonumber(ARGV[4]), "
        "tonumber(ARGV[5])\n"
        "local function some() return redis.call('EXISTS',\n"
        "  unpack(KEYS, 5, 4 + lists)) > 0 end\n"
        "local out, h, z, dead, taken = {0}, {}, {}, {}, 0\n"
        "if not some() then return out end\n"
        "redis.call('HLEN', KEYS[1]) redis.call('ZCARD', KEYS[2])\n"
        "local t = redis.call('TIME')\n"
        "local now = t[1] .. '.' .. string.format('%06d', t[2])\n"
        "local score = string.format('%d.%06d', t[1] + " REDIS_LEASE_AHEAD_S
        ", t[2])\n"
        "for i = 1, lists do\n"
        "  local tail = ',\"\",' .. ARGV[5 + i] .. ']'\n"
        "  while taken < max and budget > 0 do\n"
        "    local raw = redis.call('RPOP', KEYS[4 + i])\n"
        "    if not raw then break end\n"
        "    if string.byte(raw, 1) == 123 and string.byte(raw, -1) == 125 "
        "then\n"
        "      local tag = prefix .. string.format('%.0f', n)\n"
        "      n = n + 1 taken = taken + 1 budget = budget - #raw\n"
        "      h[#h + 1] = tag h[#h + 1] = '[' .. raw .. tail\n"
        "      z[#z + 1] = score z[#z + 1] = tag\n"
        "      out[#out + 1] = i out[#out + 1] = raw\n"
        "    else\n"
        "      out[1] = out[1] + 1\n"
        "      dead[#dead + 1] = KEYS[4 + lists + i]\n"
        "      dead[#dead + 1] = '{\"x-dead-reason\": \"undecodable\",'\n"
        "        .. ' \"x-dead-queue\": ' .. ARGV[5 + i]\n"
        "        .. ', \"x-dead-at\": ' .. now\n"
        "        .. ', \"x-dead-detail\": \"not a JSON object\"}\\n' .. raw\n"
        "    end\n"
        "  end\n"
        "end\n"
        "if taken > 0 then\n"
        "  redis.call('HSET', KEYS[1], unpack(h))\n"
        "  redis.call('ZADD', KEYS[2], unpack(z))\n"
        "  redis.call('SET', KEYS[3], ARGV[6 + lists], 'EX', 30)\n"
        "  redis.call('SADD', KEYS[4], string.sub(prefix, 1, -2))\n"
        "end\n"
        "for i = 1, #dead, 2 do redis.call('LPUSH', dead[i], dead[i + 1]) end\n"
        "if taken < max and budget > 0 then some() end\n"
        "return out\n"};

/*
 * KEYS: unacked, unacked_index, the key that says that we live, the set of
 * workers. ARGV: the tag, the tag it gets, 1 to get the message back, our uuid, our
 * identity.
 *
 * The claim moves to a tag that nobody has seen: kombu reads the tags that have
 * expired and moves each of them later, without a look at its score (restore_by_tag
 * in kombu/transport/redis.py), so a stamp alone would not keep a claim from being
 * started here and moved there. The new tag follows from the old one: when an
 * answer was lost, the same question finds what it did. A claim that a peer took
 * over has neither tag: it is dropped, never doubled.
 */
static struct redis_script fence_script = {
    .source = "local v = redis.call('HGET', KEYS[1], ARGV[1])\n"
              "if v then\n"
              "  redis.call('HDEL', KEYS[1], ARGV[1])\n"
              "  redis.call('ZREM', KEYS[2], ARGV[1])\n"
              "  redis.call('HSET', KEYS[1], ARGV[2], v)\n"
              "else\n"
              "  v = redis.call('HGET', KEYS[1], ARGV[2])\n"
              "  if not v then return false end\n"
              "end\n"
              "local t = redis.call('TIME')\n"
              "redis.call('ZADD', KEYS[2], string.format('%d.%06d', "
              "t[1] + " REDIS_LEASE_AHEAD_S ", t[2]), ARGV[2])\n"
              "redis.call('SET', KEYS[3], ARGV[5], 'EX', 30)\n"
              "redis.call('SADD', KEYS[4], ARGV[4])\n"
              "if ARGV[3] == '1' then return v end\n"
              "return ''\n"};

enum celery_status redis_claim_load(struct redis_broker *rb,
                                    struct celery_error *err)
{
    int64_t deadline = redis_broker_deadline(rb);
    enum celery_status st =
        redis_script_load(rb->commands, &claim_script, deadline, err);
    if (st == CELERY_OK)
        st = redis_script_load(rb->commands, &fence_script, deadline, err);
    return st;
}

struct claim_call {
    struct celery_str argv[CLAIM_ARGS_MAX];
    char *owned[CLAIM_ARGS_MAX];
    size_t owned_count;
    size_t argc;
    size_t key_count;
    size_t list_queue[LISTS_MAX];
    unsigned list_step[LISTS_MAX];
    size_t list_count;
};

static void push_owned(struct claim_call *call, char *text)
{
    call->owned[call->owned_count++] = text;
    call->argv[call->argc++] = (struct celery_str){text, strlen(text)};
}

static char *json_string(const char *text)
{
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&buf);
    celery_json_put_text(&w, text);
    char *copy = xstrndup(celery_buf_str(&buf).data, buf.len);
    celery_buf_done(&buf);
    return copy;
}

size_t redis_claim_tail_len(const char *queue)
{
    char *text = json_string(queue);
    size_t len = strlen(",\"\",]") + strlen(text);
    free(text);
    return len;
}

/* Priority step ascending; within a step the queues, the first one rotating. */
static void list_order(struct redis_broker *rb, struct claim_call *call)
{
    size_t count = rb->broker.queue_count;
    for (unsigned step = 0; step < REDIS_STEPS; step++) {
        for (size_t i = 0; i < count; i++) {
            size_t q = (rb->rotation + i) % count;
            if (!rb->broker.queues[q].active || call->list_count == LISTS_MAX)
                continue;
            call->list_queue[call->list_count] = q;
            call->list_step[call->list_count++] = step;
        }
    }
    rb->rotation = count > 0 ? (rb->rotation + 1) % count : 0;
}

static void build_claim(struct redis_broker *rb, size_t max,
                        struct claim_call *call)
{
    list_order(rb, call);
    push_owned(call, redis_key(rb, "unacked"));
    push_owned(call, redis_key(rb, "unacked_index"));
    push_owned(call, redis_alive_key(rb, rb->uuid));
    push_owned(call, redis_key(rb, "celery-c.workers"));
    for (size_t i = 0; i < call->list_count; i++)
        push_owned(call,
                   redis_list_key(rb,
                                  rb->broker.queues[call->list_queue[i]].name,
                                  call->list_step[i]));
    for (size_t i = 0; i < call->list_count; i++) {
        char *dead =
            xasprintf("%s.dead", rb->broker.queues[call->list_queue[i]].name);
        push_owned(call, redis_key(rb, dead));
        free(dead);
    }
    call->key_count = call->argc;
    push_owned(call, xasprintf("%zu", max));
    push_owned(call, xasprintf("%d", CLAIM_BYTES));
    push_owned(call, xasprintf("%s.", rb->uuid));
    push_owned(call, xasprintf("%" PRIu64, rb->next_tag));
    push_owned(call, xasprintf("%zu", call->list_count));
    for (size_t i = 0; i < call->list_count; i++)
        push_owned(call,
                   json_string(rb->broker.queues[call->list_queue[i]].name));
    push_owned(call, xstrdup(rb->identity));
}

static enum celery_status read_claim(struct redis_broker *rb,
                                     const struct claim_call *call,
                                     const redisReply *reply, size_t max,
                                     struct broker_delivery *ret,
                                     size_t *ret_count,
                                     struct celery_error *err)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1
        || (reply->elements - 1) / 2 > max)
        return celery_fail(err, CELERY_MALFORMED, "the claim script's answer");
    size_t count = (reply->elements - 1) / 2;
    uint64_t first = rb->next_tag - max;
    for (size_t i = 0; i < count; i++) {
        const redisReply *list = reply->element[1 + 2 * i];
        const redisReply *raw = reply->element[2 + 2 * i];
        size_t at = (size_t)list->integer - 1;
        struct broker_delivery *d = &ret[i];
        *d = (struct broker_delivery){.queue = call->list_queue[at],
                                      .step = call->list_step[at]};
        (void)snprintf(d->tag, sizeof d->tag, "%s.%" PRIu64, rb->uuid,
                       first + i);
        celery_buf_append(&d->raw, (struct celery_str){raw->str, raw->len});
    }
    *ret_count = count;
    return CELERY_OK;
}

enum celery_status redis_claim(struct broker *broker, size_t max,
                               struct broker_delivery *ret, size_t *ret_count,
                               struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    struct claim_call call = {.argc = 0};
    redisReply *reply = NULL;
    *ret_count = 0;
    if (max > BROKER_CLAIM_MAX)
        max = BROKER_CLAIM_MAX;
    build_claim(rb, max, &call);
    /* Numbers of a claim whose answer is lost are never used again: the server may
     * have given them to messages. */
    rb->next_tag += max;
    enum celery_status st = CELERY_OK;
    if (call.list_count > 0) {
        st = redis_script_run(rb->commands, &claim_script, call.key_count,
                              call.argc, call.argv, redis_broker_deadline(rb),
                              &reply, err);
        if (st == CELERY_OK) {
            st = read_claim(rb, &call, reply, max, ret, ret_count, err);
            freeReplyObject(reply);
        }
    }
    for (size_t i = 0; i < call.owned_count; i++)
        free(call.owned[i]);
    if (!redis_broker_fatal(st))
        return st;
    rb->claim_unsure = true;
    return redis_broker_drop(rb, st);
}

/* The message inside '[' message ',"",' queue ']'. Our own claims only: the
 * queue is a JSON string that holds no raw quote, so the tail is found from the
 * end. */
struct celery_str redis_unwrap(const char *value, size_t len)
{
    static const char mark[] = ",\"\",";
    struct celery_str none = {NULL, 0};
    if (len < 2 || value[0] != '[')
        return none;
    for (size_t at = len - sizeof mark; at > 0; at--) {
        if (memcmp(value + at, mark, sizeof mark - 1) == 0)
            return (struct celery_str){value + 1, at - 1};
    }
    return none;
}

bool redis_tag_started(const char *tag)
{
    return strstr(tag, ".s") != NULL;
}

/* <uuid>.<n> becomes <uuid>.<n>.1, that <uuid>.<n>.2, and so on, with an s before
 * the last number when it starts: the order of the claims stays readable in their
 * tags. */
static void next_tag(const char *tag, bool starting, char ret[BROKER_TAG_MAX])
{
    const char *number = strchr(tag, '.');
    const char *fenced = number != NULL ? strchr(number + 1, '.') : NULL;
    unsigned long times = 0;
    if (fenced != NULL)
        times = strtoul(fenced + (fenced[1] == 's' ? 2 : 1), NULL, 10);
    size_t stem = fenced != NULL ? (size_t)(fenced - tag) : strlen(tag);
    (void)snprintf(ret, BROKER_TAG_MAX, "%s", tag);
    (void)snprintf(ret + stem, BROKER_TAG_MAX - stem, ".%s%lu",
                   starting ? "s" : "", times + 1);
}

void redis_fence_append(struct redis_broker *rb, const char *tag, bool starting,
                        bool want_message, char fenced[BROKER_TAG_MAX])
{
    char *keys[] = {redis_key(rb, "unacked"), redis_key(rb, "unacked_index"),
                    redis_alive_key(rb, rb->uuid),
                    redis_key(rb, "celery-c.workers")};
    next_tag(tag, starting, fenced);
    const struct celery_str argv[] = {{keys[0], strlen(keys[0])},
                                      {keys[1], strlen(keys[1])},
                                      {keys[2], strlen(keys[2])},
                                      {keys[3], strlen(keys[3])},
                                      {tag, strlen(tag)},
                                      {fenced, strlen(fenced)},
                                      {want_message ? "1" : "0", 1},
                                      {rb->uuid, strlen(rb->uuid)},
                                      {rb->identity, strlen(rb->identity)}};
    redis_script_append(rb->commands, &fence_script,
                        sizeof keys / sizeof keys[0],
                        sizeof argv / sizeof argv[0], argv);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        free(keys[i]);
}

enum celery_status redis_fence(struct broker *broker, char *tag, bool starting,
                               struct celery_buf *raw, bool *ret_ours,
                               struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    char fenced[BROKER_TAG_MAX];
    redisReply *reply = NULL;
    *ret_ours = false;
    redis_fence_append(rb, tag, starting, raw != NULL, fenced);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st == CELERY_OK) {
        *ret_ours = reply->type == REDIS_REPLY_STRING;
        if (*ret_ours && raw != NULL)
            celery_buf_append(raw, redis_unwrap(reply->str, reply->len));
        if (*ret_ours)
            memcpy(tag, fenced, strlen(fenced) + 1);
        freeReplyObject(reply);
        return CELERY_OK;
    }
    /* It may have moved: what the caller knows as the old tag is then given back
     * by redis_reclaim(), and the caller's next question finds neither. A NOSCRIPT
     * is an INVALID answer; connecting again loads the scripts. */
    rb->claim_unsure = true;
    return redis_broker_drop(rb, redis_broker_fatal(st) ? st : CELERY_CLOSED);
}
