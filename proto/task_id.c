/* SPDX-License-Identifier: MIT */
/* UUID version 4 as text. Source: RFC 9562 sections 4 and 5.4. */
#include "celery/task_id.h"

#include <stddef.h>

static bool dash_at(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void celery_task_id_format(const uint8_t random[16],
                           char ret_text[CELERY_TASK_ID_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;

    for (size_t i = 0; i < 16; i++) {
        unsigned byte = random[i];
        if (i == 6)
            byte = (byte & 0x0fU) | 0x40U; /* version 4 */
        if (i == 8)
            byte = (byte & 0x3fU) | 0x80U; /* variant 1 */
        if (dash_at(at))
            ret_text[at++] = '-';
        ret_text[at++] = hex[byte >> 4];
        ret_text[at++] = hex[byte & 0x0fU];
    }
    ret_text[at] = '\0';
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')
        || (c >= 'A' && c <= 'F');
}

bool celery_task_id_valid(struct celery_str text)
{
    if (text.len != CELERY_TASK_ID_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (dash_at(i) ? text.data[i] != '-' : !is_hex(text.data[i]))
            return false;
    }
    return true;
}
