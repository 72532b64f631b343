/* SPDX-License-Identifier: MIT */
#include "webhook/signing_secrets.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/xalloc.h"
#include "celery/arena.h"
#include "celery/base64.h"

/* Standard Webhooks, "Signature scheme": the prefixes of its serialised keys. */
static const char secret_prefix[] = "whsec_";
static const char public_prefix[] = "whpk_";
static const char private_prefix[] = "whsk_";

enum { STANDARD_KEY_MIN = 8 };

static bool starts_with(struct celery_str text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static const char *judge_text(struct celery_str text)
{
    if (text.len < SECRET_CHARS_MIN || text.len > SECRET_CHARS_MAX)
        return "a secret must have 8 to 256 characters";
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return "a secret must be visible ASCII characters without blanks";
    }
    if (starts_with(text, private_prefix))
        return "whsk_ is the sender's private key; its whpk_ is needed here";
    return NULL;
}

/* The bytes behind a prefix. */
static bool decode(struct celery_str text, size_t skip, struct secret *ret)
{
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_str coded = {text.data + skip, text.len - skip};
    struct celery_str bytes = {0};
    if (celery_base64_decode(coded, &arena, &bytes) != CELERY_OK
        || bytes.len == 0)
        return false;
    ret->key = xmalloc(bytes.len);
    memcpy(ret->key, bytes.data, bytes.len);
    ret->key_len = bytes.len;
    return true;
}

static const char *read_key(struct celery_str text, bool raw,
                            struct secret *ret)
{
    if (starts_with(text, secret_prefix)) {
        if ((!decode(text, strlen(secret_prefix), ret)
             || ret->key_len < STANDARD_KEY_MIN)
            && !raw)
            return "whsec_ must be followed by base64 of 8 bytes or more";
    } else if (starts_with(text, public_prefix)) {
        ret->is_public = true;
        if (!decode(text, strlen(public_prefix), ret)
            || ret->key_len != SECRET_PUBLIC_LEN)
            return "whpk_ must be followed by base64 of 32 bytes";
    } else {
        ret->key = (unsigned char *)xstrndup(text.data, text.len);
        ret->key_len = text.len;
    }
    return NULL;
}

/* NULL, or why the text is no secret. */
static const char *add(struct signing_secrets *secrets, struct celery_str text,
                       bool raw)
{
    if (secrets->count == SECRETS_MAX)
        return "at most 8 secrets are active at once";
    const char *why = judge_text(text);
    if (why != NULL)
        return why;
    struct secret *secret = &secrets->list[secrets->count++];
    secret->text = xstrndup(text.data, text.len);
    secret->len = text.len;
    return read_key(text, raw, secret);
}

enum celery_status signing_secrets_read(struct signing_secrets *secrets,
                                        const char *name, const char *text,
                                        bool raw, struct celery_error *err)
{
    const char *why = NULL;
    const char *p = text;
    *secrets = (struct signing_secrets){0};
    do {
        size_t len = strcspn(p, ",");
        why = add(secrets, (struct celery_str){p, len}, raw);
        p += len;
    } while (why == NULL && *p++ == ',');
    if (why == NULL)
        return CELERY_OK;
    signing_secrets_done(secrets);
    return celery_fail(err, CELERY_INVALID,
                       "%s='********' is not accepted; accepted: secrets, "
                       "comma-separated: %s",
                       name, why);
}

static void wipe(void *bytes, size_t len)
{
    if (bytes != NULL)
        explicit_bzero(bytes, len);
    free(bytes);
}

void signing_secrets_done(struct signing_secrets *secrets)
{
    for (size_t i = 0; i < secrets->count; i++) {
        wipe(secrets->list[i].text, secrets->list[i].len);
        wipe(secrets->list[i].key, secrets->list[i].key_len);
    }
    *secrets = (struct signing_secrets){0};
}

static bool equal(const void *a, size_t a_len, const void *b, size_t b_len)
{
    return a != NULL && b != NULL && a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* A key is the same in either form: as a text and as base64 behind whsec_. */
static bool same_secret(const struct secret *a, const struct secret *b)
{
    return equal(a->text, a->len, b->text, b->len)
        || equal(a->key, a->key_len, b->key, b->key_len)
        || equal(a->text, a->len, b->key, b->key_len)
        || equal(a->key, a->key_len, b->text, b->len);
}

bool signing_secrets_shared(const struct signing_secrets *a,
                            const struct signing_secrets *b)
{
    for (size_t i = 0; i < a->count; i++) {
        for (size_t k = 0; k < b->count; k++) {
            if (same_secret(&a->list[i], &b->list[k]))
                return true;
        }
    }
    return false;
}
