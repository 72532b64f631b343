/* SPDX-License-Identifier: MIT */
/* The input is a headers object. Once signed it is good, and it is no longer
 * when the body or the queue is another; what came in signed is never good. */
#include "celery/seal.h"
#include "fuzz/fuzz.h"

static enum celery_seal verify(const struct celery_seal_keys *keys,
                               struct celery_json headers, const char *body,
                               const char *queue)
{
    struct celery_arena arena = CELERY_ARENA_INIT;
    enum celery_seal ret = CELERY_SEAL_BAD;
    const struct celery_envelope e = {
        .content = {.type = CELERY_STR("application/json"),
                    .body = {body, strlen(body)}},
        .headers = headers,
    };

    HOLDS(celery_seal_verify(keys, &e,
                             (struct celery_str){queue, strlen(queue)}, &arena,
                             &ret, NULL)
          == CELERY_OK);
    celery_arena_done(&arena);
    return ret;
}

/* Every member that the signature covers, changed: of two members with one name
 * the last one counts. */
static void tamper(const struct celery_seal_keys *keys,
                   struct celery_str sealed)
{
    static const char *const changes[] = {
        ", \"task\": \"fuzz.other\"}",  ", \"id\": \"fuzz-other\"}",
        ", \"eta\": \"fuzz\"}",         ", \"expires\": \"fuzz\"}",
        ", \"retries\": 987654321}",    ", \"timelimit\": [987654321, 1]}",
        ", \"compression\": \"fuzz\"}",
    };

    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct celery_buf buf = CELERY_BUF_INIT;
        struct celery_json root;
        sealed.len--; /* the closing brace */
        celery_buf_append(&buf, sealed);
        sealed.len++;
        celery_buf_append(&buf, fuzz_str((const uint8_t *)changes[i],
                                         strlen(changes[i])));
        HOLDS(celery_json_parse(celery_buf_str(&buf), NULL, &root, NULL)
              == CELERY_OK);
        HOLDS(verify(keys, root, "[]", "q") == CELERY_SEAL_BAD);
        celery_buf_done(&buf);
    }
}

/* Keys of the input sign as well as ours; others do not know them. */
static void check_keys(struct celery_str text)
{
    const struct celery_content content = {
        .type = CELERY_STR("application/json"), .body = CELERY_STR("[]")};
    struct celery_seal_keys keys = {.count = 0};
    struct celery_seal_keys other;
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_json root;

    if (celery_seal_keys_parse(text, &keys, NULL) != CELERY_OK)
        return;
    HOLDS(keys.count != 0 && keys.count <= CELERY_SEAL_KEYS_MAX);
    celery_buf_append(&buf, CELERY_STR("{}"));
    HOLDS(celery_seal_sign(&keys, &buf, &content, CELERY_STR("q"), NULL)
          == CELERY_OK);
    HOLDS(celery_json_parse(celery_buf_str(&buf), NULL, &root, NULL)
          == CELERY_OK);
    HOLDS(verify(&keys, root, "[]", "q") == CELERY_SEAL_GOOD);
    HOLDS(celery_seal_keys_parse(CELERY_STR("k:another 16 bytes or more"),
                                 &other, NULL)
          == CELERY_OK);
    HOLDS(verify(&other, root, "[]", "q") == CELERY_SEAL_BAD);
    celery_buf_clear(&buf);
    celery_buf_append(&buf, CELERY_STR("[]"));
    HOLDS(celery_seal_sign(&keys, &buf, &content, CELERY_STR("q"), NULL)
          == CELERY_INVALID);
    celery_buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct celery_limits limits = FUZZ_LIMITS;
    const struct celery_content content = {
        .type = CELERY_STR("application/json"), .body = CELERY_STR("[]")};
    struct celery_buf buf = CELERY_BUF_INIT;
    struct celery_seal_keys keys = {.count = 0};
    struct celery_json root;

    check_keys(fuzz_str(data, size));
    HOLDS(celery_seal_keys_parse(CELERY_STR("k:0123456789abcdef"), &keys, NULL)
          == CELERY_OK);
    if (celery_json_parse(fuzz_str(data, size), &limits, &root, NULL)
            == CELERY_OK
        && root.type == CELERY_JSON_OBJECT && celery_json_count(root) != 0) {
        HOLDS(verify(&keys, root, "[]", "q") != CELERY_SEAL_GOOD);
        celery_buf_append(&buf, root.text);
        HOLDS(celery_seal_sign(&keys, &buf, &content, CELERY_STR("q"), NULL)
              == CELERY_OK);
        HOLDS(celery_json_parse(celery_buf_str(&buf), NULL, &root, NULL)
              == CELERY_OK);
        HOLDS(verify(&keys, root, "[]", "q") == CELERY_SEAL_GOOD);
        HOLDS(verify(&keys, root, "[1]", "q") == CELERY_SEAL_BAD);
        HOLDS(verify(&keys, root, "[]", "r") == CELERY_SEAL_BAD);
        tamper(&keys, celery_buf_str(&buf));
    }
    celery_buf_done(&buf);
    return 0;
}
