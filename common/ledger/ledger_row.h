/* SPDX-License-Identifier: MIT */
/*
 * The shapes both drivers answer in: states by name, transactions, pages and
 * wallets as JSON, the pause before the next publish, merged batches.
 */
#ifndef LEDGER_LEDGER_ROW_H
#define LEDGER_LEDGER_ROW_H

#include "celery/json_write.h"
#include "ledger/ledger.h"
#include "ledger/ledger_driver.h"

/* A state by its name; false for other texts. */
bool ledger_state_parse(const char *name, enum ledger_state *ret);

/* An outcome by its name. */
enum ledger_outcome ledger_outcome_parse(const char *name);

/* What makes a webhook the same as an earlier one of its source: the sender's
 * event id, else the body's SHA-256. */
enum { LEDGER_KEY_MAX = 272, LEDGER_DIGEST_LEN = 32 };
struct ledger_inbox_key {
    char bytes[LEDGER_KEY_MAX];
    size_t len;
    unsigned char digest[LEDGER_DIGEST_LEN]; /* of the body */
};
void ledger_inbox_key(const struct ledger_webhook *webhook,
                      struct ledger_inbox_key *ret);

/* CELERY_OK, or what stands against a resolution. */
enum celery_status ledger_resolution_judge(
    const struct ledger_resolution *resolution, bool found, bool resolved,
    const char *state, struct celery_error *err) CELERY_MUST_CHECK;

/* One transaction; texts are borrowed, NULL is null. Times are microseconds
 * since 1970, 0 is null. Amounts come in any decimal form. */
struct ledger_row {
    const char *tx_id;
    const char *tx_hash;
    const char *chain;
    int64_t log_index; /* below 0: not known, null */
    const char *amount;
    const char *currency;
    const char *state;
    const char *user_id;
    int64_t confirmations;
    int64_t confirmations_required;
    const char *to_address;
    const char *provider_status;
    const char *conflict_reason;
    int64_t block_number; /* -1: null */
    const char *metadata; /* JSON text */
    const char *resolution;
    const char *inbox_id;
    int64_t enqueue_count;
    int64_t created_us;
    int64_t enqueued_us;
    int64_t next_enqueue_us;
    int64_t started_us;
    int64_t processed_us;
};

/* The columns of a list, or with details all but the raw body. */
void ledger_row_write(struct celery_json_writer *w,
                      const struct ledger_row *row, bool details);

/* The text a page's next_cursor holds. */
enum { LEDGER_CURSOR_MAX = 64 };
void ledger_cursor_format(int64_t before_us, const char *before_id,
                          char ret_text[LEDGER_CURSOR_MAX]);

struct ledger_wallet_row {
    const char *user_id;
    const char *currency;
    const char *deposit;
    const char *winning;
    const char *bonus;
};

/* CELERY_CONFLICT when a balance is no amount. */
enum celery_status ledger_wallet_write(struct celery_buf *ret_json,
                                       const struct ledger_wallet_row *row,
                                       struct celery_error *err)
    CELERY_MUST_CHECK;

/* The canonical form of what a database answered; other texts are copied. */
void ledger_amount_tidy(const char *text, char ret_text[LEDGER_AMOUNT_MAX]);

/* One event in a deposit's life, for ledger_explain(). */
void ledger_explain_line(struct celery_buf *buf, int64_t at_us,
                         const char *what, const char *details);
void ledger_explain_head(struct celery_buf *buf, const struct ledger_row *row);

/* One deposit whose key the other has in another spelling. */
struct ledger_collision {
    const char *tx_id;
    const char *chain;
    const char *tx_hash;
    const char *log_index;
    const char *state;
    const char *other; /* the one that is found by the key */
};
void ledger_collision_line(struct celery_buf *buf,
                           const struct ledger_collision *collision);

/* balanced from the rest of check. */
void ledger_check_judge(struct ledger_check *check);

#endif /* LEDGER_LEDGER_ROW_H */
