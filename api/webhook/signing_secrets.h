/* SPDX-License-Identifier: MIT */
/*
 * The secrets that a source's webhooks are signed with: several at once, so that
 * they can be rotated. A secret is 8 to 256 visible ASCII characters without a
 * comma. "whsec_" and base64 is a key of Standard Webhooks, "whpk_" and base64
 * the sender's ed25519 public key.
 */
#ifndef WEBHOOK_SIGNING_SECRETS_H
#define WEBHOOK_SIGNING_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

#include "celery/error.h"

enum {
    SECRETS_MAX = 8,
    SECRET_CHARS_MIN = 8,
    SECRET_CHARS_MAX = 256,
    SECRET_PUBLIC_LEN = 32,
};

struct secret {
    char *text; /* owned; what hex and Stripe's signatures are keyed with */
    size_t len;
    unsigned char *key; /* owned; what Standard Webhooks' are keyed with;
                           NULL: nothing */
    size_t key_len;
    bool is_public; /* key is an ed25519 public key: signs nothing else */
};

struct signing_secrets {
    struct secret list[SECRETS_MAX];
    size_t count;
};

/* From "secret[,secret…]". name is what the error calls the setting; the error
 * never holds the text. raw: "whsec_" may be a part of the text, as Stripe's and
 * Alchemy's secrets have it, without base64 behind it. */
enum celery_status signing_secrets_read(struct signing_secrets *secrets,
                                        const char *name, const char *text,
                                        bool raw, struct celery_error *err)
    CELERY_MUST_CHECK;

/* Wipes and frees. */
void signing_secrets_done(struct signing_secrets *secrets);

/* Is a secret of one also one of the other? */
bool signing_secrets_shared(const struct signing_secrets *a,
                            const struct signing_secrets *b);

#endif /* WEBHOOK_SIGNING_SECRETS_H */
