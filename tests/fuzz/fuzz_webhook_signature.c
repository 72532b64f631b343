/* SPDX-License-Identifier: MIT */
/*
 * Signatures of webhooks, as anybody can send them: each line of the input is a
 * header's value, its first letter says which header. Nothing that is not signed
 * with the secret is valid.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "webhook/signature.h"

static struct signing_secrets secrets;
static const struct signature_scheme schemes[] = {
    {.form = SIGNATURE_HMAC, .header = "a", .prefix = "sha256="},
    {.form = SIGNATURE_HMAC,
     .digest = SIGNATURE_SHA512,
     .encoding = SIGNATURE_BASE64,
     .header = "b"},
    {.form = SIGNATURE_STANDARD, .header = "c"},
    {.form = SIGNATURE_STRIPE, .header = "d"},
};

/* The headers by the letter that a line begins with. */
static const char *const names[] = {"a",    "b",           "c-signature",
                                    "c-id", "c-timestamp", "d"};

static void read_secrets(void)
{
    /* The public key is RFC 8032's, section 7.1, test 1. */
    HOLDS(signing_secrets_read(
              &secrets, "X",
              "a-secret-of-ours,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,"
              "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
              false, NULL)
          == CELERY_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request request = {.header_count = 0};
    char text[4096];
    if (size >= sizeof text)
        return 0;
    if (secrets.count == 0)
        read_secrets();
    memcpy(text, data, size);
    text[size] = '\0';
    celery_buf_append(&request.body, CELERY_STR("{\"tx_hash\":\"0x1\"}"));
    for (char *line = strtok(text, "\n");
         line != NULL && request.header_count < HTTP_HEADERS_MAX;
         line = strtok(NULL, "\n")) {
        size_t which =
            (size_t)(unsigned char)line[0] % (sizeof names / sizeof names[0]);
        request.headers[request.header_count++] =
            (struct http_header){names[which], line + 1};
    }
    struct signature_checked checked =
        signature_check(schemes, sizeof schemes / sizeof schemes[0], &secrets,
                        &request, 1700000000);
    HOLDS(checked.verdict == SIGNATURE_MISSING
          || checked.verdict == SIGNATURE_WRONG);
    HOLDS(checked.event_id == NULL && checked.signed_s == 0);
    http_request_done(&request);
    return 0;
}
