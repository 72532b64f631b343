/* SPDX-License-Identifier: MIT */
#include "celery/task_id.h"

#include "support/text.h"
#include "support/unit.h"

START_TEST(formats_version_4)
{
    uint8_t random[16];
    char id[CELERY_TASK_ID_LEN + 1];

    for (uint8_t i = 0; i < 16; i++)
        random[i] = (uint8_t)(i * 17);
    celery_task_id_format(random, id);
    ck_assert_str_eq(id, "00112233-4455-4677-8899-aabbccddeeff");
    memset(random, 0xff, sizeof random);
    celery_task_id_format(random, id);
    ck_assert_str_eq(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    memset(random, 0, sizeof random);
    celery_task_id_format(random, id);
    ck_assert_str_eq(id, "00000000-0000-4000-8000-000000000000");
}
END_TEST

START_TEST(tells_ids_from_other_texts)
{
    ck_assert(
        celery_task_id_valid(text("00112233-4455-4677-8899-aabbccddeeff")));
    ck_assert(
        celery_task_id_valid(text("00112233-4455-3677-0899-AABBCCDDEEFF")));
    ck_assert(!celery_task_id_valid(text("")));
    ck_assert(
        !celery_task_id_valid(text("00112233-4455-4677-8899-aabbccddeef")));
    ck_assert(
        !celery_task_id_valid(text("00112233-4455-4677-8899-aabbccddeeffa")));
    ck_assert(
        !celery_task_id_valid(text("00112233-4455-4677-8899-aabbccddeefg")));
    ck_assert(
        !celery_task_id_valid(text("001122334-455-4677-8899-aabbccddeeff")));
    ck_assert(
        !celery_task_id_valid(text("00112233445546778899aabbccddeeff....")));
}
END_TEST

UNIT_MAIN("task_id", formats_version_4, tells_ids_from_other_texts)
