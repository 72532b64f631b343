/* SPDX-License-Identifier: MIT */
/*
 * GET /api/v1/wallets/{user_id}[?currency=…]
 */
#include "api.h"
#include "handlers/handlers.h"

void handle_wallet(void *arg, struct http_request *request,
                   struct http_response *response)
{
    struct api *api = arg;
    struct celery_error err = {0};
    char user_id[64];
    char text[LEDGER_CURRENCY_MAX];
    const char *currency = NULL;
    bool found = false;
    enum celery_status st = CELERY_OK;
    if (!query_text(request, "currency", text, sizeof text, &currency,
                    response))
        return;
    if (currency == NULL)
        currency = api->rules.currency;
    if (path_text(request, "user_id", user_id, sizeof user_id))
        st = ledger_wallet(api->ledger, user_id, currency, &response->body,
                           &found, &err);
    if (st != CELERY_OK)
        answer_ledger_error(request, response, st, &err);
    else if (!found)
        http_problem(response, request, 404, "Wallet not found", "user_id");
}
