/* SPDX-License-Identifier: MIT */
/*
 * GET /api/v1/transactions and one of them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "celery/task_id.h"
#include "handlers/handlers.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 500, PARAMETER_MAX = 128 };

static bool is_state(const char *text)
{
    for (int state = 0; state < LEDGER_STATE_COUNT; state++) {
        if (strcmp(text, ledger_state_name((enum ledger_state)state)) == 0)
            return true;
    }
    return false;
}

static bool read_limit(const struct http_request *request,
                       const struct query *query, int *ret,
                       struct http_response *response)
{
    const char *given = query_get(query, "limit");
    *ret = LIMIT_DEFAULT;
    if (given == NULL || *given == '\0')
        return true;
    size_t digits = strspn(given, "0123456789");
    long n = digits <= 3 ? strtol(given, NULL, 10) : 0;
    if (given[digits] != '\0' || n < 1 || n > LIMIT_MAX) {
        http_problem(response, request, 422, "limit must be 1 to 500", "limit");
        return false;
    }
    *ret = (int)n;
    return true;
}

static bool read_filters(const struct http_request *request,
                         const struct query *query, struct ledger_query *ret,
                         struct http_response *response)
{
    if (!query_text(request, query, "user_id", PARAMETER_MAX, &ret->user_id,
                    response)
        || !query_text(request, query, "state", PARAMETER_MAX, &ret->state,
                       response)
        || !query_visible(request, query, "tx_hash", LEDGER_HASH_MAX,
                          &ret->tx_hash, response))
        return false;
    if (ret->user_id != NULL
        && !celery_task_id_valid(
            (struct celery_str){ret->user_id, strlen(ret->user_id)})) {
        http_problem(response, request, 422, "user_id must be a UUID",
                     "user_id");
        return false;
    }
    if (ret->state != NULL && !is_state(ret->state)) {
        http_problem(response, request, 422, "there is no such state", "state");
        return false;
    }
    return true;
}

void handle_transactions(void *arg, struct http_request *request,
                         struct http_response *response)
{
    struct api *api = arg;
    CLEANUP(query_done) struct query query = {.text = NULL};
    struct ledger_query asked = {.limit = LIMIT_DEFAULT};
    struct celery_error err = {0};
    if (!read_query(request, &query, response)
        || !read_filters(request, &query, &asked, response)
        || !read_limit(request, &query, &asked.limit, response))
        return;
    /* An empty one is the first page's: a loop over pages begins with it. */
    const char *cursor = query_get(&query, "cursor");
    if (cursor != NULL && *cursor != '\0')
        asked.cursor = cursor;
    enum celery_status st =
        ledger_transactions(api->ledger, &asked, &response->body, &err);
    if (st == CELERY_INVALID)
        http_problem_code(response, request, 400, "parameter",
                          "cursor must be a next_cursor", "cursor");
    else if (st != CELERY_OK)
        answer_ledger_error(request, response, &err);
}

void handle_transaction(void *arg, struct http_request *request,
                        struct http_response *response)
{
    struct api *api = arg;
    struct celery_error err = {0};
    char tx_id[64];
    bool found = false;
    enum celery_status st = CELERY_OK;
    if (path_text(request, "tx_id", tx_id, sizeof tx_id))
        st = ledger_transaction(api->ledger, tx_id, &response->body, &found,
                                &err);
    if (st != CELERY_OK)
        answer_ledger_error(request, response, &err);
    else if (!found)
        http_problem(response, request, 404, "no such transaction", "tx_id");
}
