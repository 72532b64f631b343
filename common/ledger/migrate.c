/* SPDX-License-Identifier: MIT */
#include "ledger/migrate.h"

#include <stdio.h>

enum celery_status migrate_all(const struct migration *steps, size_t count,
                               migrate_step_fn apply, void *arg,
                               struct celery_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct celery_error why = {0};
        enum celery_status st = apply(arg, &steps[i], &why);
        if (st == CELERY_OK)
            continue;
        enum celery_status failed = celery_fail(err, st, "migration %s: %.150s",
                                                steps[i].name, why.msg);
        if (err != NULL) {
            err->retryable = why.retryable;
            err->detail = why.detail;
        }
        return failed;
    }
    return CELERY_OK;
}

enum celery_status migrate_check(int version, size_t known,
                                 struct celery_error *err)
{
    if (version >= (int)known)
        return CELERY_OK;
    return celery_fail(err, CELERY_CONFLICT,
                       "the schema is at step %d, this program needs %zu: "
                       "run cricalgo-api --migrate",
                       version, known);
}
