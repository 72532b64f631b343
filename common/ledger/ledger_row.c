/* SPDX-License-Identifier: MIT */
#include "ledger/ledger_row.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "celery/timestamp.h"
#include "ledger/amount.h"

static const char *const state_names[LEDGER_STATE_COUNT] = {
    [LEDGER_RECEIVED] = "received",
    [LEDGER_AWAITING_CONFIRMATIONS] = "awaiting_confirmations",
    [LEDGER_CREDITED] = "credited",
    [LEDGER_UNMATCHED] = "unmatched",
    [LEDGER_CONFLICT] = "conflict",
    [LEDGER_REJECTED] = "rejected",
    [LEDGER_REVERSED] = "reversed",
};

const char *ledger_state_name(enum ledger_state state)
{
    return (unsigned)state < LEDGER_STATE_COUNT ? state_names[state]
                                                : "unknown";
}

bool ledger_state_parse(const char *name, enum ledger_state *ret)
{
    for (unsigned i = 0; i < LEDGER_STATE_COUNT; i++) {
        if (strcmp(name, state_names[i]) == 0) {
            *ret = (enum ledger_state)i;
            return true;
        }
    }
    return false;
}

static const char *const outcome_names[] = {
    [LEDGER_STORED] = "stored",
    [LEDGER_PARTIAL] = "partial",
    [LEDGER_IGNORED] = "ignored",
    [LEDGER_REFUSED] = "refused",
};

const char *ledger_outcome_name(enum ledger_outcome outcome)
{
    return outcome_names[outcome];
}

enum ledger_outcome ledger_outcome_parse(const char *name)
{
    for (unsigned i = LEDGER_STORED; i < LEDGER_REFUSED; i++) {
        if (strcmp(name, outcome_names[i]) == 0)
            return (enum ledger_outcome)i;
    }
    return LEDGER_REFUSED;
}

void ledger_inbox_key(const struct ledger_webhook *webhook,
                      struct ledger_inbox_key *ret)
{
    unsigned len = 0;
    (void)EVP_Digest(webhook->body.data, webhook->body.len, ret->digest, &len,
                     EVP_sha256(), NULL);
    if (webhook->event_id != NULL) {
        int n =
            snprintf(ret->bytes, sizeof ret->bytes, "id:%s", webhook->event_id);
        ret->len =
            (size_t)n < sizeof ret->bytes ? (size_t)n : sizeof ret->bytes - 1;
        return;
    }
    memcpy(ret->bytes, ret->digest, sizeof ret->digest);
    ret->len = sizeof ret->digest;
}

enum celery_status ledger_resolution_judge(
    const struct ledger_resolution *resolution, bool found, bool resolved,
    const char *state, struct celery_error *err)
{
    if (resolved)
        return CELERY_OK;
    if (!found)
        return celery_fail(err, CELERY_INVALID, "there is no deposit %.60s",
                           resolution->tx_id);
    if (strcmp(state, "conflict") == 0)
        return celery_fail(err, CELERY_INVALID,
                           "deposit %.60s has no amount that could be "
                           "credited: it can only be rejected",
                           resolution->tx_id);
    return celery_fail(err, CELERY_INVALID,
                       "deposit %.60s is %s; one in conflict can be credited, "
                       "one that is not credited yet rejected",
                       resolution->tx_id, state);
}

static struct celery_str text_slice(const char *text)
{
    return (struct celery_str){text, strlen(text)};
}

void ledger_amount_tidy(const char *text, char ret_text[LEDGER_AMOUNT_MAX])
{
    struct amount amount = {0};
    if (amount_parse_signed(text_slice(text), &amount) == CELERY_OK)
        amount_format(amount, ret_text);
    else
        (void)snprintf(ret_text, LEDGER_AMOUNT_MAX, "%s", text);
}

static void put_time(struct celery_json_writer *w, const char *key, int64_t us)
{
    char text[CELERY_TIMESTAMP_MAX];
    celery_json_key(w, key);
    if (us == 0) {
        celery_json_put_null(w);
        return;
    }
    celery_timestamp_format(us, text);
    celery_json_put_text(w, text);
}

static void put_text(struct celery_json_writer *w, const char *key,
                     const char *text)
{
    celery_json_key(w, key);
    celery_json_put_text(w, text);
}

static void put_int(struct celery_json_writer *w, const char *key, int64_t n)
{
    celery_json_key(w, key);
    celery_json_put_int(w, n);
}

static void put_details(struct celery_json_writer *w,
                        const struct ledger_row *row)
{
    put_int(w, "confirmations_required", row->confirmations_required);
    put_text(w, "to_address", row->to_address);
    put_text(w, "status", row->provider_status);
    put_text(w, "conflict_reason", row->conflict_reason);
    celery_json_key(w, "block_number");
    if (row->block_number < 0)
        celery_json_put_null(w);
    else
        celery_json_put_int(w, row->block_number);
    celery_json_key(w, "metadata");
    if (row->metadata == NULL)
        celery_json_put_null(w);
    else
        celery_json_put_raw(w, text_slice(row->metadata));
    put_text(w, "resolution", row->resolution);
    put_text(w, "inbox_id", row->inbox_id);
    put_int(w, "enqueue_count", row->enqueue_count);
    put_time(w, "next_enqueue_at", row->next_enqueue_us);
}

void ledger_row_write(struct celery_json_writer *w,
                      const struct ledger_row *row, bool details)
{
    char amount[LEDGER_AMOUNT_MAX];
    ledger_amount_tidy(row->amount, amount);
    celery_json_begin_object(w);
    put_text(w, "tx_id", row->tx_id);
    put_text(w, "tx_hash", row->tx_hash);
    put_text(w, "chain", row->chain);
    celery_json_key(w, "log_index");
    if (row->log_index < 0)
        celery_json_put_null(w);
    else
        celery_json_put_int(w, row->log_index);
    put_text(w, "amount", amount);
    put_text(w, "currency", row->currency);
    put_text(w, "state", row->state);
    put_text(w, "user_id", row->user_id);
    put_int(w, "confirmations", row->confirmations);
    put_time(w, "created_at", row->created_us);
    put_time(w, "enqueued_at", row->enqueued_us);
    put_time(w, "started_at", row->started_us);
    put_time(w, "processed_at", row->processed_us);
    if (details)
        put_details(w, row);
    celery_json_end_object(w);
}

void ledger_cursor_format(int64_t before_us, const char *before_id,
                          char ret_text[LEDGER_CURSOR_MAX])
{
    (void)snprintf(ret_text, LEDGER_CURSOR_MAX, "%" PRId64 ".%.36s", before_us,
                   before_id);
}

enum celery_status ledger_wallet_write(struct celery_buf *ret_json,
                                       const struct ledger_wallet_row *row,
                                       struct celery_error *err)
{
    const char *const texts[3] = {row->deposit, row->winning, row->bonus};
    static const char *const keys[3] = {"deposit_balance", "winning_balance",
                                        "bonus_balance"};
    struct amount total = {0};
    struct celery_json_writer w = CELERY_JSON_WRITER(ret_json);
    char text[AMOUNT_TEXT_MAX];

    celery_json_begin_object(&w);
    put_text(&w, "user_id", row->user_id);
    put_text(&w, "currency", row->currency);
    for (size_t i = 0; i < 3; i++) {
        struct amount part = {0};
        if (amount_parse_signed(text_slice(texts[i]), &part) != CELERY_OK
            || !amount_add(total, part, &total))
            return celery_fail(err, CELERY_CONFLICT,
                               "%s of wallet %s is no amount", keys[i],
                               row->user_id);
        amount_format(part, text);
        put_text(&w, keys[i], text);
    }
    amount_format(total, text);
    put_text(&w, "total_balance", text);
    celery_json_end_object(&w);
    return celery_buf_status(ret_json);
}

void ledger_explain_line(struct celery_buf *buf, int64_t at_us,
                         const char *what, const char *details)
{
    char at[CELERY_TIMESTAMP_MAX] = "-";
    if (at_us != 0)
        celery_timestamp_format(at_us, at);
    celery_buf_printf(buf, "%-32s  %-22s  %s\n", at, what,
                      details != NULL ? details : "");
}

void ledger_explain_head(struct celery_buf *buf, const struct ledger_row *row)
{
    char amount[LEDGER_AMOUNT_MAX];
    char note[160];
    char index[24] = "(index not known)";
    if (row->log_index >= 0)
        (void)snprintf(index, sizeof index, "%" PRId64, row->log_index);
    ledger_amount_tidy(row->amount, amount);
    celery_buf_printf(buf,
                      "deposit %s\n  key %s %s %s"
                      "\n  %s %s for user %s\n  state %s%s%s\n"
                      "  confirmations %" PRId64 " of %" PRId64
                      "\n  webhook %s\n\n",
                      row->tx_id, row->chain, row->tx_hash, index, amount,
                      row->currency,
                      row->user_id != NULL ? row->user_id : "(none)",
                      row->state, row->conflict_reason != NULL ? ": " : "",
                      row->conflict_reason != NULL ? row->conflict_reason : "",
                      row->confirmations, row->confirmations_required,
                      row->inbox_id != NULL ? row->inbox_id : "(none)");
    ledger_explain_line(buf, row->created_us, "received", NULL);
    if (row->enqueued_us != 0) {
        (void)snprintf(note, sizeof note, "%" PRId64 " time(s), this the last",
                       row->enqueue_count);
        ledger_explain_line(buf, row->enqueued_us, "published", note);
    }
    if (row->started_us != 0)
        ledger_explain_line(buf, row->started_us, "first settlement", NULL);
    if (row->processed_us != 0)
        ledger_explain_line(buf, row->processed_us, "processed", NULL);
    else if (row->next_enqueue_us != 0)
        ledger_explain_line(buf, row->next_enqueue_us, "published again",
                            "at the earliest, while work is left");
}

void ledger_collision_line(struct celery_buf *buf,
                           const struct ledger_collision *collision)
{
    celery_buf_printf(buf, "same key as %s: %s %s %s %s (%s)\n",
                      collision->other, collision->tx_id, collision->chain,
                      collision->tx_hash, collision->log_index,
                      collision->state);
}

void ledger_check_judge(struct ledger_check *check)
{
    check->balanced = check->wallets_off == 0 && check->credits_off == 0
                   && strcmp(check->credited_sum, check->journal_sum) == 0
                   && strcmp(check->journal_sum, check->wallet_sum) == 0;
}
