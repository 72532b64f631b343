/* SPDX-License-Identifier: MIT */
/*
 * What a webhook is answered, and what is counted and logged of it.
 */
#ifndef HANDLERS_WEBHOOK_ANSWERS_H
#define HANDLERS_WEBHOOK_ANSWERS_H

#include "http/response.h"
#include "webhook/body.h"

void webhook_answers_register_metrics(void);

/* Refused before anything was kept: counted by status. */
void webhook_refuse(const struct http_request *request,
                    struct http_response *response,
                    const struct http_problem *problem);

/* What stands in the ledger now. read is empty and fault set for a body that
 * could not be read as a whole. */
struct webhook_kept {
    const struct webhook_source *source;
    const struct ledger_webhook *webhook;
    const struct ledger_webhook_answer *answer;
    const struct webhook_read *read;
    const struct webhook_fault *fault;
};

void webhook_answer(const struct http_request *request,
                    const struct webhook_kept *kept,
                    struct http_response *response);

#endif /* HANDLERS_WEBHOOK_ANSWERS_H */
