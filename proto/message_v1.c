/* SPDX-License-Identifier: MIT */
/*
 * Protocol 1: one object as body, no chain. Source: celery/app/amqp.py
 * as_task_v1, celery/worker/strategy.py proto1_to_proto2. The member "utc" is
 * not looked at: a time without an offset is UTC.
 */
#include "message_fields.h"

enum celery_status cel_message_v1(struct celery_json body,
                                  struct celery_arena *arena,
                                  struct celery_message *ret,
                                  struct celery_error *err)
{
    struct cel_fields fields;

    ret->protocol = 1;
    fields.members =
        cel_json_pick(body, cel_field_names, CEL_FIELDS, fields.values);
    if (fields.values[CEL_FIELD_TASK].type == CELERY_JSON_NONE)
        return celery_fail(err, CELERY_UNSUPPORTED, "no task message");
    /* The older name of a group wins, even when it is null. */
    struct celery_json taskset = celery_json_get(body, "taskset");
    if (taskset.type != CELERY_JSON_NONE)
        fields.values[CEL_FIELD_GROUP] = taskset;

    enum celery_status status = cel_fields_identity(&fields, arena, ret, err);
    if (status == CELERY_OK)
        status =
            cel_message_arguments(celery_json_get(body, "args"),
                                  celery_json_get(body, "kwargs"), ret, err);
    if (status == CELERY_OK)
        status = cel_message_embed(body, ret, err);
    ret->chain.type = CELERY_JSON_NONE;
    if (status == CELERY_OK)
        status = cel_fields_read(&fields, arena, ret, err);
    return status;
}
