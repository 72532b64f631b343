/* SPDX-License-Identifier: MIT */
/*
 * The handlers of the route table; arg is a struct api. thread: one of the HTTP
 * server's, several at once.
 */
#ifndef HANDLERS_HANDLERS_H
#define HANDLERS_HANDLERS_H

#include "api.h"
#include "query.h"

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
void handle_page_script(void *arg, struct http_request *request,
                        struct http_response *response);
void handle_page_style(void *arg, struct http_request *request,
                       struct http_response *response);

/* parameters.c */

/* Who sends the request, by the tokens in force. */
struct auth_caller caller_of(struct api *api,
                             const struct http_request *request);

/* The query's parameters, each once and of text; the caller calls query_done().
 * false: the response says what is wrong. */
bool read_query(const struct http_request *request, struct query *ret,
                struct http_response *response);

/* Are the query and the parts of the path text? When not, the response says
 * which is not. */
bool check_parameters(const struct http_request *request,
                      struct http_response *response);

/* A parameter of fewer than size bytes, borrowed from query; NULL when it is
 * absent. false: it is empty or too long, the response says so. */
bool query_text(const struct http_request *request, const struct query *query,
                const char *name, size_t size, const char **ret,
                struct http_response *response);

/* The same for one of visible ASCII characters. */
bool query_visible(const struct http_request *request,
                   const struct query *query, const char *name, size_t size,
                   const char **ret, struct http_response *response);

/* A part of the path into ret_text; false when it does not fit. */
bool path_text(const struct http_request *request, const char *name,
               char *ret_text, size_t size);

/* Answers 503 for a ledger that failed. */
void answer_ledger_error(const struct http_request *request,
                         struct http_response *response,
                         const struct celery_error *err);

#endif /* HANDLERS_HANDLERS_H */
