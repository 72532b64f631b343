/* SPDX-License-Identifier: MIT */
/*
 * GET /api/v1/transactions and one of them; the small helpers of all handlers
 * that read parameters.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "handlers/handlers.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 500 };

struct auth_caller caller_of(struct api *api,
                             const struct http_request *request)
{
    struct secrets *secrets = secrets_hold(&api->secrets);
    struct auth_caller caller = auth_identify(&secrets->auth, request);
    secrets_release(&api->secrets, secrets);
    return caller;
}

bool query_text(const struct http_request *request, const char *name,
                char *ret_text, size_t size, const char **ret,
                struct http_response *response)
{
    bool fits = true;
    *ret = NULL;
    if (!http_query(request, name, ret_text, size, &fits))
        return true;
    if (!fits) {
        http_problem(response, request, 422, "parameter is too long", name);
        return false;
    }
    if (ret_text[0] != '\0')
        *ret = ret_text;
    return true;
}

bool path_text(const struct http_request *request, const char *name,
               char *ret_text, size_t size)
{
    struct celery_str part = http_param(request, name);
    if (part.len >= size)
        return false;
    memcpy(ret_text, part.data, part.len);
    ret_text[part.len] = '\0';
    return true;
}

void answer_ledger_error(const struct http_request *request,
                         struct http_response *response,
                         enum celery_status status,
                         const struct celery_error *err)
{
    if (status == CELERY_INVALID)
        http_problem(response, request, 422, err->msg, NULL);
    else if (ledger_outcome_unknown(err))
        http_unavailable_code(response, request, "outcome_unknown",
                              "the outcome is unknown; send it again");
    else
        http_unavailable(response, request, "the ledger is not available");
}

static bool read_limit(const struct http_request *request, int *ret,
                       struct http_response *response)
{
    char text[16];
    const char *given = NULL;
    char *end = NULL;
    *ret = LIMIT_DEFAULT;
    if (!query_text(request, "limit", text, sizeof text, &given, response))
        return false;
    if (given == NULL)
        return true;
    errno = 0;
    long n = strtol(given, &end, 10);
    if (errno != 0 || *end != '\0' || n < 1 || n > LIMIT_MAX) {
        http_problem(response, request, 422, "limit must be 1 to 500", "limit");
        return false;
    }
    *ret = (int)n;
    return true;
}

void handle_transactions(void *arg, struct http_request *request,
                         struct http_response *response)
{
    struct api *api = arg;
    struct ledger_query query = {0};
    struct celery_error err = {0};
    char user_id[64];
    char state[32];
    char tx_hash[LEDGER_HASH_MAX];
    char cursor[128];
    if (!query_text(request, "user_id", user_id, sizeof user_id, &query.user_id,
                    response)
        || !query_text(request, "state", state, sizeof state, &query.state,
                       response)
        || !query_text(request, "tx_hash", tx_hash, sizeof tx_hash,
                       &query.tx_hash, response)
        || !query_text(request, "cursor", cursor, sizeof cursor, &query.cursor,
                       response)
        || !read_limit(request, &query.limit, response))
        return;
    enum celery_status st =
        ledger_transactions(api->ledger, &query, &response->body, &err);
    if (st != CELERY_OK)
        answer_ledger_error(request, response, st, &err);
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
        answer_ledger_error(request, response, st, &err);
    else if (!found)
        http_problem(response, request, 404, "no such transaction", "tx_id");
}
