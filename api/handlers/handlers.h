/* SPDX-License-Identifier: MIT */
/*
 * The handlers of the route table; arg is a struct api. thread: one of the HTTP
 * server's, several at once.
 */
#ifndef HANDLERS_HANDLERS_H
#define HANDLERS_HANDLERS_H

#include "api.h"

/* webhooks.c */
void webhook_register_metrics(void);
void handle_webhook(void *arg, struct http_request *request,
                    struct http_response *response);
void handle_webhook_health(void *arg, struct http_request *request,
                           struct http_response *response);

/* transactions.c */
void handle_transactions(void *arg, struct http_request *request,
                         struct http_response *response);
void handle_transaction(void *arg, struct http_request *request,
                        struct http_response *response);

/* wallets.c */
void handle_wallet(void *arg, struct http_request *request,
                   struct http_response *response);

/* users.c */
enum { REGISTER_BODY_MAX = 16 * 1024 };
void handle_register(void *arg, struct http_request *request,
                     struct http_response *response);

/* tasks.c */
enum { TASK_BODY_MAX = 1024 * 1024 };
void handle_task_send(void *arg, struct http_request *request,
                      struct http_response *response);
void handle_task_result(void *arg, struct http_request *request,
                        struct http_response *response);

/* health.c */
void handle_health(void *arg, struct http_request *request,
                   struct http_response *response);
void handle_ready(void *arg, struct http_request *request,
                  struct http_response *response);

/* page.c */
void handle_openapi(void *arg, struct http_request *request,
                    struct http_response *response);
void handle_page(void *arg, struct http_request *request,
                 struct http_response *response);

/* Who sends the request, by the tokens in force. */
struct auth_caller caller_of(struct api *api,
                             const struct http_request *request);

/* A query parameter into ret_text; NULL when it is absent. false: it was too
 * long, the response says so. */
bool query_text(const struct http_request *request, const char *name,
                char *ret_text, size_t size, const char **ret,
                struct http_response *response);

/* A part of the path into ret_text; false when it does not fit. */
bool path_text(const struct http_request *request, const char *name,
               char *ret_text, size_t size);

/* Answers for a ledger that failed: 422 for what the caller asked wrongly, else
 * 503. */
void answer_ledger_error(const struct http_request *request,
                         struct http_response *response,
                         enum celery_status status,
                         const struct celery_error *err);

#endif /* HANDLERS_HANDLERS_H */
