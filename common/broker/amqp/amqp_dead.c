/* SPDX-License-Identifier: MIT */
#include "broker/amqp/amqp_dead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "log/log.h"

enum { FACTS = 5 };

static amqp_table_entry_t fact(const char *key, const char *text,
                               amqp_pool_t *pool)
{
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes(key)};
    size_t len = text != NULL ? strlen(text) : 0;
    amqp_bytes_t copy = {0, NULL};
    if (text != NULL)
        copy.bytes = amqp_pool_alloc(pool, len + 1);
    if (copy.bytes != NULL) {
        copy.len = len;
        memcpy(copy.bytes, text, len);
        entry.value.kind = AMQP_FIELD_KIND_UTF8;
        entry.value.value.bytes = copy;
    } else {
        entry.value.kind = AMQP_FIELD_KIND_VOID;
    }
    return entry;
}

/* An expiration would empty the dead queue by itself: it is kept as a fact. */
static char *take_expiration(amqp_basic_properties_t *p)
{
    if ((p->_flags & AMQP_BASIC_EXPIRATION_FLAG) == 0)
        return NULL;
    p->_flags &= ~(amqp_flags_t)AMQP_BASIC_EXPIRATION_FLAG;
    return xstrndup(amqp_str(p->expiration).data, p->expiration.len);
}

/* Headers that fill their frame have no room for facts: the letter is kept without
 * them. */
static enum celery_status add_facts(const struct amqp_broker *ab,
                                    struct amqp_outgoing *out,
                                    const amqp_table_entry_t *facts,
                                    size_t count, amqp_pool_t *pool,
                                    struct celery_error *err)
{
    const amqp_basic_properties_t before = out->properties;
    enum celery_status st =
        amqp_add_headers(&out->properties, facts, count, pool, err);
    if (st == CELERY_OK && !amqp_publisher_fits(ab->producer, &out->properties))
        out->properties = before;
    return st;
}

static enum celery_status finish(struct amqp_broker *ab, const char *queue,
                                 const char *reason, const char *detail,
                                 amqp_pool_t *pool, struct amqp_outgoing *out,
                                 struct celery_error *err)
{
    amqp_table_entry_t facts[FACTS + 1];
    char *name = xasprintf("%s.dead", queue);
    char *expiration = take_expiration(&out->properties);
    size_t count = FACTS - 1;
    out->exchange = amqp_empty_bytes;
    out->routing_key.bytes = amqp_pool_alloc(pool, strlen(name) + 1);
    out->routing_key.len = strlen(name);
    out->mandatory = true;
    if (out->routing_key.bytes != NULL)
        memcpy(out->routing_key.bytes, name, strlen(name) + 1);
    else
        out->routing_key.len = 0;
    facts[0] = fact("x-dead-reason", reason, pool);
    facts[1] = fact("x-dead-queue", queue, pool);
    facts[2] = (amqp_table_entry_t){.key = amqp_cstring_bytes("x-dead-at")};
    facts[2].value.kind = AMQP_FIELD_KIND_F64;
    facts[2].value.value.f64 = (double)clock_wall_us() / USEC_PER_SEC;
    facts[3] = fact("x-dead-detail", detail, pool);
    if (expiration != NULL)
        facts[count++] = fact("x-dead-expiration", expiration, pool);
    enum celery_status st = amqp_need_queue(ab, name, NULL, err);
    if (st == CELERY_OK)
        st = add_facts(ab, out, facts, count, pool, err);
    free(expiration);
    free(name);
    return st;
}

enum celery_status amqp_dead_of_raw(struct amqp_broker *ab,
                                    const struct broker_settlement *settlement,
                                    amqp_pool_t *pool,
                                    struct amqp_outgoing *ret,
                                    struct celery_error *err)
{
    enum celery_status st = amqp_envelope_read(settlement->raw, pool, ret, err);
    if (st != CELERY_OK)
        return st;
    return finish(ab, ab->broker.queues[settlement->queue].name,
                  settlement->reason, settlement->detail, pool, ret, err);
}

enum celery_status amqp_dead_of_copy(struct amqp_broker *ab, const char *queue,
                                     struct amqp_copy *copy, const char *reason,
                                     const char *detail,
                                     struct amqp_outgoing *ret,
                                     struct celery_error *err)
{
    *ret = (struct amqp_outgoing){
        .properties = copy->properties,
        .body = amqp_bytes_of(celery_buf_str(&copy->body)),
    };
    return finish(ab, queue, reason, detail, &copy->pool, ret, err);
}

void amqp_note_dead_failed(const struct celery_error *err)
{
    LOG_EVENT(LOG_LEVEL_WARNING, "dead_letter_not_published",
              LOG_STR("error", err->msg),
              LOG_STR("msg", "kept and tried again"));
}
