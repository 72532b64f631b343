/* SPDX-License-Identifier: MIT */
/*
 * GET /api/v1/transactions and one of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/cleanup.h"
#include "celery/task_id.h"
#include "handlers/handlers.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 500, PARAMETER_MAX = 128 };

/* What a query asks for; the texts borrow from it, but for the hash. */
struct asked {
    struct ledger_query query;
    char tx_hash[LEDGER_HASH_MAX];
};

static bool is_state(const char *text)
{
    for (int state = 0; state < LEDGER_STATE_COUNT; state++) {
        if (strcmp(text, ledger_state_name((enum ledger_state)state)) == 0)
            return true;
    }
    return false;
}

/* 0x and hexadecimal digits are kept in lower case: either spelling is one
 * deposit. */
static void fold_hash(const char *text, char ret[LEDGER_HASH_MAX])
{
    bool hex = text[0] == '0' && ascii_lower(text[1]) == 'x' && text[2] != '\0'
            && text[2 + strspn(text + 2, "0123456789abcdefABCDEF")] == '\0';
    (void)snprintf(ret, LEDGER_HASH_MAX, "%s", text);
    for (char *p = ret; hex && *p != '\0'; p++)
        *p = ascii_lower(*p);
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
                         const struct query *query, struct asked *ret,
                         struct http_response *response)
{
    struct ledger_query *q = &ret->query;
    if (!query_text(request, query, "user_id", PARAMETER_MAX, &q->user_id,
                    response)
        || !query_text(request, query, "state", PARAMETER_MAX, &q->state,
                       response)
        || !query_visible(request, query, "tx_hash", LEDGER_HASH_MAX,
                          &q->tx_hash, response))
        return false;
    if (q->user_id != NULL
        && !celery_task_id_valid(
            (struct celery_str){q->user_id, strlen(q->user_id)})) {
        http_problem(response, request, 422, "user_id must be a UUID",
                     "user_id");
        return false;
    }
    if (q->state != NULL && !is_state(q->state)) {
        http_problem(response, request, 422, "there is no such state", "state");
        return false;
    }
    if (q->tx_hash != NULL) {
        fold_hash(q->tx_hash, ret->tx_hash);
        q->tx_hash = ret->tx_hash;
    }
    return true;
}

void handle_transactions(void *arg, struct http_request *request,
                         struct http_response *response)
{
    struct api *api = arg;
    CLEANUP(query_done) struct query query = {.text = NULL};
    struct asked asked = {.query = {.limit = LIMIT_DEFAULT}};
    struct celery_error err = {0};
    if (!read_query(request, &query, response)
        || !read_filters(request, &query, &asked, response)
        || !read_limit(request, &query, &asked.query.limit, response))
        return;
    /* An empty one is the first page's: a loop over pages begins with it. */
    const char *cursor = query_get(&query, "cursor");
    if (cursor != NULL && *cursor != '\0')
        asked.query.cursor = cursor;
    enum celery_status st =
        ledger_transactions(api->ledger, &asked.query, &response->body, &err);
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
