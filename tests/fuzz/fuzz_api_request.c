/* SPDX-License-Identifier: MIT */
/*
 * The deposit validator: what it accepts is a deposit that the ledger can hold;
 * what it refuses has a status and a reason.
 */
#include <stdio.h>
#include <string.h>

#include "base/xalloc.h"
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
    HOLDS(d->confirmations >= 0 && d->log_index >= -1);
    HOLDS(d->block_number >= -1);
    HOLDS(d->to_address == NULL || is_visible(d->to_address));
    HOLDS(d->provider_status == NULL || is_visible(d->provider_status));
    if (d->metadata.len == 0)
        return;
    HOLDS(celery_json_parse(d->metadata, NULL, &metadata, NULL) == CELERY_OK);
    HOLDS(metadata.type == CELERY_JSON_OBJECT);
}

/* The paths of a chain, with and without a shared secret, and a source that
 * reads a list in base units: made once. */
static struct chains chains;
static struct webhook_source sources[3];

static void add_rule(struct webhook_source *source, enum source_field field,
                     const char *path)
{
    struct source_rules *rules = &source->fields[field];
    rules->list[rules->count++].path = xstrdup(path);
}

static void make_sources(void)
{
    static struct source_currency currency = {.name = "USDT", .decimals = 6};
    static struct source_chain chain;
    HOLDS(chains_init(&chains, "bep20", NULL, NULL, NULL) == CELERY_OK);
    for (int i = 0; i < 2; i++)
        webhook_source_native(&sources[i], &chains.list[0]);
    sources[1].must_name_chain = true;
    chain.word = xstrdup("BNB");
    chain.chain = &chains.list[0];
    sources[2].items = xstrdup("/items");
    sources[2].chains = &chain;
    sources[2].chain_count = 1;
    sources[2].currencies = &currency;
    sources[2].currency_count = 1;
    sources[2].base_units = true;
    sources[2].index_stable = true;
    for (int field = 0; field < FIELD_COUNT; field++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/%s",
                       source_field_name((enum source_field)field));
        add_rule(&sources[2], (enum source_field)field, path);
    }
    sources[2].fields[FIELD_LOG_INDEX].list[0].as_position = true;
    sources[2].fields[FIELD_TX_HASH].list[0].after_last = '/';
}

static void check_read(const struct webhook_read *read)
{
    size_t deposits = 0;
    for (size_t i = 0; i < read->item_count; i++) {
        const struct webhook_item *item = &read->items[i];
        if (item->result == ITEM_DEPOSIT) {
            HOLDS(item->index == deposits++);
            check_deposit(&read->deposits[item->index]);
        } else {
            HOLDS(item->fault.error != NULL);
        }
    }
    HOLDS(deposits == read->deposit_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct webhook_rules rules = {.currency = "USDT",
                                               .confirmations_required = 3};
    if (size > WEBHOOK_BODY_MAX)
        return 0;
    if (chains.count == 0)
        make_sources();
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct celery_arena arena = CELERY_ARENA_INIT;
        struct webhook_fault fault = {0};
        struct webhook_read read;
        if (webhook_body_read(fuzz_str(data, size), &sources[i], &rules, &arena,
                              &read, &fault)) {
            check_read(&read);
        } else {
            HOLDS(fault.status == 400 || fault.status == 422);
            HOLDS(fault.error != NULL);
        }
        celery_arena_done(&arena);
    }
    return 0;
}
