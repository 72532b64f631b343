/* SPDX-License-Identifier: MIT */
/*
 * The ledger: users, wallets, deposits, journal, audit. The verbs of the
 * domain, no SQL; PostgreSQL and SQLite stand behind one driver table. Every
 * verb is one transaction. The ledger is the queue of record: what is left to do
 * is read from its states, the broker only carries hints.
 *
 * A ledger is a pool of connections (DB_POOL_SIZE, DB_MAX_OVERFLOW,
 * DB_POOL_TIMEOUT, DB_POOL_RECYCLE) and thread-safe. No call blocks without a
 * deadline: CELERY_TIMEOUT when the pool has no connection in pool_timeout_s,
 * CELERY_IO when the database cannot be reached or the statement did not end in
 * time; both are retryable. CELERY_CONFLICT: the data forbids it.
 */
#ifndef LEDGER_LEDGER_H
#define LEDGER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celery/buf.h"
#include "celery/error.h"

enum {
    LEDGER_ID_MAX = 37,     /* a UUID and its NUL */
    LEDGER_AMOUNT_MAX = 48, /* "-20 digits.18 digits" and its NUL */
    LEDGER_CHAIN_MAX = 33,
    LEDGER_HASH_MAX = 129,
    LEDGER_CURRENCY_MAX = 17,
    LEDGER_TRACE_MAX = 56, /* a W3C traceparent and its NUL */
    LEDGER_BATCH_MAX = 256,
    LEDGER_DETAIL_MAX = 64,
    LEDGER_SOURCE_MAX = 33,
    LEDGER_REQUEST_MAX = 65,
};

enum ledger_state {
    LEDGER_RECEIVED,
    LEDGER_AWAITING_CONFIRMATIONS,
    LEDGER_CREDITED,
    LEDGER_UNMATCHED,
    LEDGER_CONFLICT,
    LEDGER_REJECTED, /* a conflict that a human ended without credit */
    LEDGER_REVERSED,
    LEDGER_STATE_COUNT,
};

/* "received", "awaiting_confirmations", … */
const char *ledger_state_name(enum ledger_state state);

struct ledger_options {
    const char *url;  /* postgresql://, postgresql+anything://, sqlite:/// */
    int pool_size;    /* connections kept open */
    int max_overflow; /* more, opened when all are busy, closed after use */
    double pool_timeout_s; /* how long a caller waits for a connection */
    double
        pool_recycle_s; /* a connection older than this is replaced; -1 never */
    double statement_timeout_s; /* 0: 10 s */
};

struct ledger;

/* Checks the URL and opens nothing but the pool; for SQLite the file's folder
 * is made (0700). The first verb connects. */
enum celery_status ledger_open(const struct ledger_options *options,
                               struct ledger **ret, struct celery_error *err)
    CELERY_MUST_CHECK;
void ledger_close(struct ledger *ledger);

/* Applies the numbered steps that are missing, each in a transaction, under a
 * lock that other instances wait for. Steps only add. */
enum celery_status ledger_migrate(struct ledger *ledger,
                                  struct celery_error *err) CELERY_MUST_CHECK;

/* CELERY_OK when the database answers, its schema is the one we know, and a write
 * would succeed as far as can be told: it is not read-only, SQLite's file takes a
 * small write (at most one a second), and no deposit or user failed to be written
 * or settled in the last seconds without a later one that was. */
enum celery_status ledger_ready(struct ledger *ledger, struct celery_error *err)
    CELERY_MUST_CHECK;

/* After a failed verb: was its statement sent, and no answer came? Then it may be
 * done or not; sending it again is safe. */
bool ledger_outcome_unknown(const struct celery_error *err);

void ledger_pool_stats(struct ledger *ledger, int *ret_active, int *ret_max);

/* --- deposits in ------------------------------------------------------- */

struct ledger_deposit {
    char chain[LEDGER_CHAIN_MAX];
    char tx_hash[LEDGER_HASH_MAX]; /* canonical (chain_kind.h) */
    int32_t log_index;             /* -1: not known */
    bool index_stable; /* the source's indexes are the chain's: another index is
                          another transfer */
    char amount[LEDGER_AMOUNT_MAX]; /* canonical decimal, > 0 (amount.h) */
    char currency[LEDGER_CURRENCY_MAX];
    char user_id[LEDGER_ID_MAX]; /* "" : none given */
    int64_t confirmations;
    int64_t confirmations_required; /* kept with the row */
    int64_t block_number;           /* -1: none */
    const char *to_address;         /* NULL: none; borrowed, as all below */
    const char *provider_status;    /* the body's status, NULL: none */
    const char *conflict_reason;    /* not NULL: stored in state conflict */
    bool takes_back; /* the reason is the provider's status, not the amount:
                        holds for a deposit that is known, too */
    struct celery_str metadata; /* JSON object text; empty: none */
    char traceparent[LEDGER_TRACE_MAX];
};

enum ledger_ingest_result {
    LEDGER_INGEST_NEW,
    LEDGER_INGEST_DUPLICATE, /* the key was there; confirmations may have risen */
    LEDGER_INGEST_DIFFERS,   /* the key was there with another amount, user or
                                currency: recorded in the audit log, not changed */
    LEDGER_INGEST_FAILED,    /* this row alone was refused; error says why */
};

struct ledger_ingested {
    enum ledger_ingest_result result;
    char tx_id[LEDGER_ID_MAX];
    enum ledger_state state;
    bool publish; /* work is left and nobody was told yet: publish the task */
    char traceparent[LEDGER_TRACE_MAX]; /* the row's, for the task's headers */
    char
        detail[LEDGER_DETAIL_MAX]; /* what differs: "amount, currency, user_id",
                                       "status"; of a new one its reason when
                                       the ledger found it */
    struct celery_error error;     /* LEDGER_INGEST_FAILED only */
};

enum ledger_outcome {
    LEDGER_STORED,  /* its deposits are in the ledger */
    LEDGER_PARTIAL, /* some are, others in it are not for us */
    LEDGER_IGNORED, /* nothing in it is for us */
    LEDGER_REFUSED, /* not understood */
};

/* "stored", "partial", "ignored", "refused" */
const char *ledger_outcome_name(enum ledger_outcome outcome);

/* One webhook as the inbox keeps it; texts are borrowed. */
struct ledger_webhook {
    char inbox_id[LEDGER_ID_MAX]; /* for a new row */
    const char *source;
    const char *event_id; /* the sender's, signed; NULL: none */
    const char *request_id;
    struct celery_str headers; /* a JSON object; empty: none */
    struct celery_str body;    /* kept byte for byte */
    enum ledger_outcome outcome;
    const char *error; /* LEDGER_REFUSED: why; NULL else */
    const char *field;
    const struct ledger_deposit *deposits; /* NULL: none */
    size_t deposit_count;
};

enum ledger_inbox_result {
    LEDGER_INBOX_NEW,
    LEDGER_INBOX_REPEATED, /* the same event or body: counted on its row */
    LEDGER_INBOX_FAILED,   /* the ledger cannot hold it: nothing was kept */
    LEDGER_INBOX_REUSED,   /* the event id came with another body: the body is
                              kept as refused, its deposits are not taken */
};

struct ledger_webhook_answer {
    enum ledger_inbox_result result;
    char inbox_id[LEDGER_ID_MAX];     /* of the row that stands for it */
    struct ledger_ingested *deposits; /* the caller's room: deposit_count */
};

/* Stores webhooks and the deposits they announce, at most LEDGER_BATCH_MAX of
 * each, in one transaction, in the order given. The key of a deposit is (chain,
 * tx_hash, log_index); one whose hash, recipient and amount are known under
 * another index goes to conflict as a possible duplicate unless both indexes
 * are stable. When the statement fails for a reason of the data it is repeated
 * webhook by webhook under savepoints, so that each gets its own answer. On
 * CELERY_OK the transaction is durable. */
enum celery_status ledger_ingest_webhooks(struct ledger *ledger,
                                          const struct ledger_webhook *webhooks,
                                          size_t count,
                                          struct ledger_webhook_answer *ret,
                                          struct celery_error *err)
    CELERY_MUST_CHECK;

/* The same for deposits that no webhook announced. */
enum celery_status ledger_ingest(struct ledger *ledger,
                                 const struct ledger_deposit *deposits,
                                 size_t count, struct ledger_ingested *ret,
                                 struct celery_error *err) CELERY_MUST_CHECK;

/* The tasks of these rows are in the broker: sets enqueued_at to now,
 * next_enqueue_at to now + first_s · 2ⁿ (at most cap_s), counts the publish. */
enum celery_status ledger_mark_enqueued(struct ledger *ledger,
                                        const char (*tx_ids)[LEDGER_ID_MAX],
                                        size_t count, double first_s,
                                        double cap_s, struct celery_error *err)
    CELERY_MUST_CHECK;

struct ledger_due {
    char tx_id[LEDGER_ID_MAX];
    char tx_hash[LEDGER_HASH_MAX];
    char traceparent[LEDGER_TRACE_MAX];
    bool first; /* was never published before */
};

/* The sweeper's round: up to limit rows whose state says that work is left
 * (received, or awaiting_confirmations with enough of them, or unmatched whose
 * user exists now) and whose next_enqueue_at is due, or NULL for more than
 * grace_s. Locks them against other sweepers (FOR UPDATE SKIP LOCKED, BEGIN
 * IMMEDIATE) by moving next_enqueue_at to now + first_s · 2ⁿ in the same
 * transaction, as ledger_mark_enqueued does; enqueued_at is set by the caller's
 * ledger_mark_enqueued after the publish. */
enum celery_status ledger_sweep(struct ledger *ledger, double grace_s,
                                double first_s, double cap_s, size_t limit,
                                struct ledger_due *ret, size_t *ret_count,
                                struct celery_error *err) CELERY_MUST_CHECK;

/* --- the inbox ---------------------------------------------------------- */

struct ledger_inbox_row {
    char inbox_id[LEDGER_ID_MAX];
    char source[LEDGER_SOURCE_MAX];
    char request_id[LEDGER_REQUEST_MAX];
    enum ledger_outcome outcome;
    int64_t received_us;
    struct celery_buf body; /* owned by the caller: celery_buf_done() */
};

/* *ret_found false: no such id. */
enum celery_status ledger_inbox_get(struct ledger *ledger, const char *inbox_id,
                                    struct ledger_inbox_row *ret,
                                    bool *ret_found, struct celery_error *err)
    CELERY_MUST_CHECK;

/* The ids of those not stored as a whole that came at or after since_us and after
 * after_id (NULL: from the first), oldest first, up to limit; without those that
 * used another's event id. */
enum celery_status ledger_inbox_open(struct ledger *ledger, int64_t since_us,
                                     const char *after_id, size_t limit,
                                     char (*ret_ids)[LEDGER_ID_MAX],
                                     size_t *ret_count,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;

/* What became of a webhook after a replay; its deposits are those in tx_ids. */
enum celery_status ledger_inbox_replayed(struct ledger *ledger,
                                         const struct ledger_webhook *webhook,
                                         const struct ledger_ingested *deposits,
                                         struct celery_error *err)
    CELERY_MUST_CHECK;

/* Deletes up to limit webhooks that came before until_us. */
enum celery_status ledger_inbox_expire(struct ledger *ledger, int64_t until_us,
                                       size_t limit, int64_t *ret_count,
                                       struct celery_error *err)
    CELERY_MUST_CHECK;

/* A human's word on a deposit, with the reason and who said it, in the audit log.
 * credit: one in conflict is settled as any other from now on; else one that is
 * not credited yet is rejected. CELERY_INVALID: there is no such deposit, it is in
 * another state, or its amount is zero and cannot be credited. */
enum celery_status ledger_resolve(struct ledger *ledger, const char *tx_id,
                                  bool credit, const char *reason,
                                  const char *actor, struct celery_error *err)
    CELERY_MUST_CHECK;

/* Appends a line for each old deposit whose key another one has in another
 * spelling. */
enum celery_status ledger_collisions(struct ledger *ledger,
                                     struct celery_buf *ret_text,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;

/* --- settlement --------------------------------------------------------- */

struct ledger_settled {
    char tx_id[LEDGER_ID_MAX];
    bool found;        /* false: no such deposit */
    bool credited_now; /* this call moved the money */
    bool waited;       /* it was set aside before: confirmations, a user */
    bool failed;       /* could not be settled; error says why */
    struct celery_error error;
    enum ledger_state state;
    char tx_hash[LEDGER_HASH_MAX];
    double created_at;  /* seconds since 1970; 0: unknown */
    double enqueued_at; /* 0: NULL in the row */
};

/* Settles up to LEDGER_BATCH_MAX deposits in one transaction (design §4.4):
 * credited already → nothing; too few confirmations → awaiting_confirmations;
 * unknown user → unmatched; else wallet, journal, audit, processed_at. started
 * is set on the first call for a row. Lock order: deposits by id, then wallets
 * by user id. 40P01 and 40001 are repeated, the third time in halves. One that
 * cannot be settled does not fail its neighbours: it comes back with its state
 * unchanged and failed set. ret[i] answers tx_ids[i]. */
enum celery_status ledger_settle(struct ledger *ledger,
                                 const char (*tx_ids)[LEDGER_ID_MAX],
                                 size_t count, struct ledger_settled *ret,
                                 struct celery_error *err) CELERY_MUST_CHECK;

/* --- questions ---------------------------------------------------------- */

struct ledger_check {
    int64_t count[LEDGER_STATE_COUNT];
    int64_t published; /* rows that were published at least once */
    char credited_sum[LEDGER_AMOUNT_MAX]; /* sum of credited deposits */
    char journal_sum[LEDGER_AMOUNT_MAX];
    char wallet_sum[LEDGER_AMOUNT_MAX];
    int64_t wallets_off; /* wallets whose balance is not their journal's sum */
    int64_t credits_off; /* credited deposits without exactly one credit line */
    bool balanced;       /* the three sums are equal and nothing is off */
};

/* One consistent snapshot. */
enum celery_status ledger_check(struct ledger *ledger, struct ledger_check *ret,
                                struct celery_error *err) CELERY_MUST_CHECK;

struct ledger_query {
    const char *user_id; /* NULL: any */
    const char *state;   /* NULL: any; a state's name */
    const char
        *tx_hash; /* NULL: any; in any spelling that a kind of chain has */
    const char *cursor; /* NULL: from the newest; else a next_cursor */
    int limit;          /* 1 … 500 */
};

/* Appends {"transactions":[…],"next_cursor":…}, newest first (design §2). A
 * cursor we did not make is CELERY_INVALID, and so are a limit, a state and a
 * user_id that are none. */
enum celery_status ledger_transactions(struct ledger *ledger,
                                       const struct ledger_query *query,
                                       struct celery_buf *ret_json,
                                       struct celery_error *err)
    CELERY_MUST_CHECK;

/* Appends one transaction's object. *ret_found false: no such id. */
enum celery_status ledger_transaction(struct ledger *ledger, const char *tx_id,
                                      struct celery_buf *ret_json,
                                      bool *ret_found, struct celery_error *err)
    CELERY_MUST_CHECK;

/* A currency's name as the ledger keeps it: ASCII letters in upper case, cut
 * where it is too long. */
void ledger_currency_fold(const char *text, char ret[LEDGER_CURRENCY_MAX]);

struct ledger_wallet_found {
    bool user; /* false: no such user, nothing was appended */
    bool used; /* the user has a wallet or a deposit in this currency; else the
                  balances are zeros */
};

/* Appends the wallet's object as the API answers it. currency as the ledger keeps
 * it, in upper case. */
enum celery_status ledger_wallet(struct ledger *ledger, const char *user_id,
                                 const char *currency,
                                 struct celery_buf *ret_json,
                                 struct ledger_wallet_found *ret_found,
                                 struct celery_error *err) CELERY_MUST_CHECK;

/* Makes the user; *ret_created false when the telegram id or the username, in
 * any case of its ASCII letters, was taken: ret_user_id is that user's.
 * telegram_id 0: none given.
 * Deposits that waited unmatched for a user id become due for the sweeper. */
enum celery_status ledger_register_user(
    struct ledger *ledger, int64_t telegram_id, const char *username,
    const char *user_id, /* NULL: a new one */
    char ret_user_id[LEDGER_ID_MAX], bool *ret_created,
    struct celery_error *err) CELERY_MUST_CHECK;

/* Appends a readable account of one deposit's life: row, journal, audit. */
enum celery_status ledger_explain(struct ledger *ledger, const char *tx_id,
                                  struct celery_buf *ret_text, bool *ret_found,
                                  struct celery_error *err) CELERY_MUST_CHECK;

struct ledger_backlog {
    int64_t
        count[LEDGER_STATE_COUNT]; /* credited: about, where counting costs */
    double oldest_s;  /* age of the oldest deposit that still needs work */
    int64_t due;      /* deposits whose task should be published again by now */
    double overdue_s; /* since when the longest of them */
};

/* For metrics; reads what is open, not what is done. */
enum celery_status ledger_backlog(struct ledger *ledger,
                                  struct ledger_backlog *ret,
                                  struct celery_error *err) CELERY_MUST_CHECK;

struct ledger_audit {
    int64_t wallets_off; /* wallets that differ from their journal */
    int64_t credits_off; /* deposits that differ from their credit line */
    int64_t passes;      /* how often all were compared */
    double finished_at;  /* the end of the last whole pass; 0: none yet */
    double due_s;        /* until the next slice; 0: it is due */
};

/* The running comparison of the books: does the next slice of rows when one is
 * due and no other process is at it, then tells what the last whole pass and the
 * one under way have found. pause_s: between two passes. Each call is short. */
enum celery_status ledger_audit(struct ledger *ledger, int rows, double pause_s,
                                struct ledger_audit *ret,
                                struct celery_error *err) CELERY_MUST_CHECK;

#endif /* LEDGER_LEDGER_H */
