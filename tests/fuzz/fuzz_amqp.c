/* SPDX-License-Identifier: MIT */
/* A header table from the wire becomes JSON that reads back as the same table; any
 * bytes as an envelope or as a URL are refused or read. */
#include <string.h>

#include "amqp/amqp_endpoint.h"
#include "amqp/amqp_table.h"
#include "broker/amqp/amqp_envelope.h"
#include "fuzz/fuzz.h"

static void fuzz_table(struct celery_str input)
{
    amqp_pool_t pool;
    amqp_table_t table;
    amqp_table_t again;
    size_t offset = 0;
    struct celery_buf text = CELERY_BUF_INIT;
    struct celery_buf other = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&text);
    struct celery_json_writer v = CELERY_JSON_WRITER(&other);
    struct celery_json root;
    init_amqp_pool(&pool, 4096);
    if (amqp_decode_table(amqp_bytes_of(input), &pool, &table, &offset) == 0
        && amqp_table_to_json(&table, &w)) {
        const struct celery_limits limits = {.message_bytes = SIZE_MAX,
                                             .inflated_bytes = SIZE_MAX,
                                             .elements = SIZE_MAX,
                                             .depth = 1024,
                                             .headers = UINT32_MAX};
        HOLDS(celery_json_parse(celery_buf_str(&text), &limits, &root, NULL)
              == CELERY_OK);
        /* A name that was no UTF-8 can grow past what a name may have. */
        if (amqp_table_from_json(root, &pool, &again, NULL) == CELERY_OK) {
            HOLDS(amqp_table_to_json(&again, &v));
            HOLDS(fuzz_same(celery_buf_str(&text), celery_buf_str(&other)));
        }
    }
    celery_buf_done(&text);
    celery_buf_done(&other);
    empty_amqp_pool(&pool);
}

static void fuzz_envelope(struct celery_str input)
{
    amqp_pool_t pool;
    struct amqp_outgoing out;
    struct celery_buf raw = CELERY_BUF_INIT;
    init_amqp_pool(&pool, 4096);
    if (amqp_envelope_read(input, &pool, &out, NULL) == CELERY_OK) {
        const struct amqp_received received = {
            .properties = &out.properties,
            .body = amqp_str(out.body),
            .tag = "",
        };
        HOLDS(amqp_envelope_put(&raw, &received));
        struct amqp_copy *copy = amqp_copy_of(&received);
        HOLDS(copy != NULL);
        HOLDS(fuzz_same(celery_buf_str(&copy->body), received.body));
        HOLDS(amqp_strip_headers(&copy->properties, &copy->pool, NULL)
              == CELERY_OK);
        amqp_copy_free(copy);
    }
    celery_buf_done(&raw);
    empty_amqp_pool(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct celery_str input = fuzz_str(data, size);
    struct celery_buf text = CELERY_BUF_INIT;
    struct amqp_endpoints endpoints;
    fuzz_table(input);
    fuzz_envelope(input);
    celery_buf_append(&text, input);
    if (amqp_endpoints_parse(celery_buf_str(&text).data, NULL, &endpoints, NULL)
        == CELERY_OK)
        amqp_endpoints_done(&endpoints);
    celery_buf_done(&text);
    return 0;
}
