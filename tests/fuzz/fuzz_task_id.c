/* SPDX-License-Identifier: MIT */
/* Sixteen bytes become an id that is valid and gives the bytes back; of other
 * texts, those are valid that a rule of our own says. */
#include <ctype.h>

#include "celery/task_id.h"
#include "fuzz/fuzz.h"

static bool is_uuid(struct celery_str text)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    if (text.len != sizeof form - 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        bool dash = form[i] == '-';
        if (dash ? text.data[i] != '-' : !isxdigit((unsigned char)text.data[i]))
            return false;
    }
    return true;
}

static void check_made(const uint8_t random[16])
{
    char text[CELERY_TASK_ID_LEN + 1];
    char digits[2 * 16 + 1];
    size_t n = 0;

    celery_task_id_format(random, text);
    const struct celery_str made = {text, CELERY_TASK_ID_LEN};
    HOLDS(strlen(text) == CELERY_TASK_ID_LEN);
    HOLDS(celery_task_id_valid(made) && is_uuid(made));
    HOLDS(text[14] == '4' && strchr("89ab", text[19]) != NULL);
    for (size_t i = 0; i < CELERY_TASK_ID_LEN; i++) {
        if (text[i] != '-')
            digits[n++] = text[i];
    }
    for (size_t i = 0; i < 16; i++) {
        char byte[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
        uint8_t mask = 0xff;
        if (i == 6)
            mask = 0x0f;
        if (i == 8)
            mask = 0x3f;
        HOLDS(((strtoul(byte, NULL, 16) ^ random[i]) & mask) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 16)
        check_made(data);
    HOLDS(celery_task_id_valid(fuzz_str(data, size))
          == is_uuid(fuzz_str(data, size)));
    return 0;
}
