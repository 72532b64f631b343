/* SPDX-License-Identifier: MIT */
/*
 * What every handler gets: the parts of the running program. Written once at
 * start, then only read, but for the secrets; the parts are thread-safe.
 */
#ifndef API_API_H
#define API_API_H

#include "backend/backend.h"
#include "base/lock.h"
#include "celery/producer.h"
#include "ingest/ingest.h"
#include "ledger/ledger.h"
#include "secrets.h"
#include "webhook/body.h"

struct api {
    struct ledger *ledger;
    struct ingest *ingest;
    struct secret_store secrets; /* what SIGHUP reads again */
    bool allow_unsigned;
    struct webhook_rules rules;
    struct celery_producer *producer;       /* of tasks sent by hand */
    const char *tasks_allowed;              /* NULL: none */
    int task_protocol;                      /* CELERY_TASK_PROTOCOL */
    enum celery_serializer task_serializer; /* CELERY_TASK_SERIALIZER */
    struct lock results_lock;               /* a backend is for one at a time */
    struct backend *results;                /* NULL: none is set */
    _Atomic bool draining;
};

#endif /* API_API_H */
