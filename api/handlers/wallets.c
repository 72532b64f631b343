/* SPDX-License-Identifier: MIT */
/*
 * GET /api/v1/wallets/{user_id}[?currency=…]
 */
#include <string.h>

#include "base/cleanup.h"
#include "handlers/handlers.h"

/* The default, and those that a source of webhooks lists. */
static bool is_listed(struct api *api, const char *currency)
{
    bool found = strcmp(currency, api->rules.currency) == 0;
    struct secrets *secrets = secrets_hold(&api->secrets);
    const struct sources *sources = secrets->sources;
    for (size_t i = 0; i < sources->count && !found; i++) {
        const struct webhook_source *source = &sources->list[i];
        for (size_t k = 0; k < source->currency_count && !found; k++)
            found = strcmp(currency, source->currencies[k].name) == 0;
    }
    secrets_release(&api->secrets, secrets);
    return found;
}

static void answer(struct api *api, const struct http_request *request,
                   const char *currency,
                   const struct ledger_wallet_found *found,
                   struct http_response *response)
{
    if (!found->user)
        http_problem(response, request, 404, "Wallet not found", "user_id");
    else if (!found->used && !is_listed(api, currency))
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
