/* SPDX-License-Identifier: MIT */
/*
 * The deposit validator: what it accepts is a deposit that the ledger can hold;
 * what it refuses has a status and a reason.
 */
#include "celery/json_scan.h"
#include "celery/task_id.h"
#include "fuzz/fuzz.h"
#include "ledger/amount.h"
#include "webhook/body.h"

static bool is_visible(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~')
            return false;
    }
    return true;
}

static struct celery_str whole(const char *text)
{
    return (struct celery_str){text, strlen(text)};
}

static void check_deposit(const struct ledger_deposit *d)
{
    struct amount amount = {0};
    struct celery_json metadata = {0};
    char canonical[AMOUNT_TEXT_MAX];
    enum celery_status st = amount_parse(whole(d->amount), &amount);
    HOLDS(st == CELERY_OK
          || (st == CELERY_INVALID && d->conflict_reason != NULL));
    amount_format(amount, canonical);
    HOLDS(strcmp(canonical, d->amount) == 0);
    HOLDS(d->tx_hash[0] != '\0' && is_visible(d->tx_hash));
    HOLDS(d->currency[0] != '\0' && is_visible(d->currency));
    HOLDS(strcmp(d->chain, "bep20") == 0);
    HOLDS(d->user_id[0] == '\0' || celery_task_id_valid(whole(d->user_id)));
    HOLDS(d->confirmations >= 0 && d->log_index >= 0);
    HOLDS(d->block_number >= -1);
    HOLDS(d->to_address == NULL || is_visible(d->to_address));
    HOLDS(d->provider_status == NULL || is_visible(d->provider_status));
    if (d->metadata.len == 0)
        return;
    HOLDS(celery_json_parse(d->metadata, NULL, &metadata, NULL) == CELERY_OK);
    HOLDS(metadata.type == CELERY_JSON_OBJECT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct chains chains = {0};
    static const struct webhook_rules rules = {.currency = "USDT",
                                               .confirmations_required = 3,
                                               .chains = &chains};
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct ledger_deposit deposit;
    struct webhook_fault fault = {0};
    if (size > WEBHOOK_BODY_MAX)
        return 0;
    if (webhook_body_read(fuzz_str(data, size), CELERY_STR("bep20"), &rules,
                          &arena, &deposit, &fault)) {
        check_deposit(&deposit);
    } else {
        HOLDS(fault.status == 400 || fault.status == 422);
        HOLDS(fault.error != NULL);
        HOLDS(fault.status == 400 || fault.field != NULL);
    }
    celery_arena_done(&arena);
    return 0;
}
