/* SPDX-License-Identifier: MIT */
/*
 * GET /api/v1/wallets/{user_id}[?currency=…]
 */
#include <string.h>

#include "base/cleanup.h"
#include "handlers/handlers.h"

static void answer(const struct api *api, const struct http_request *request,
                   const char *currency,
                   const struct ledger_wallet_found *found,
                   struct http_response *response)
{
    if (!found->user)
        http_problem(response, request, 404, "Wallet not found", "user_id");
    else if (!found->used && strcmp(currency, api->rules.currency) != 0)
        http_problem_code(response, request, 404, "currency",
                          "this user has nothing in this currency", "currency");
}

void handle_wallet(void *arg, struct http_request *request,
                   struct http_response *response)
{
    struct api *api = arg;
    CLEANUP(query_done) struct query query = {.text = NULL};
    struct celery_error err = {0};
    struct ledger_wallet_found found = {.user = false};
    char user_id[64];
    char currency[LEDGER_CURRENCY_MAX];
    const char *given = NULL;
    enum celery_status st = CELERY_OK;
    if (!read_query(request, &query, response)
        || !query_visible(request, &query, "currency", sizeof currency, &given,
                          response))
        return;
    ledger_currency_fold(given != NULL ? given : api->rules.currency, currency);
    if (path_text(request, "user_id", user_id, sizeof user_id))
        st = ledger_wallet(api->ledger, user_id, currency, &response->body,
                           &found, &err);
    if (st != CELERY_OK)
        answer_ledger_error(request, response, &err);
    else
        answer(api, request, currency, &found, response);
}
