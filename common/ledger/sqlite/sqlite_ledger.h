/* SPDX-License-Identifier: MIT */
/*
 * The SQLite driver's verbs, see ledger.h; impl is a struct sqlite_db.
 */
#ifndef LEDGER_SQLITE_SQLITE_LEDGER_H
#define LEDGER_SQLITE_SQLITE_LEDGER_H

#include "ledger/ledger_driver.h"
#include "ledger/ledger_row.h"
#include "ledger/sqlite/sqlite_conn.h"

/* sqlite_ingest.c */
enum celery_status sqlite_ingest(void *impl, const struct ledger_batch *batch,
                                 struct celery_error *err);

/* sqlite_inbox.c; put and link run in the caller's transaction: the webhook's
 * row, and the deposits that it told of. */
enum celery_status sqlite_inbox_put(struct sqlite_conn *conn,
                                    const struct ledger_webhook *webhook,
                                    struct ledger_webhook_answer *ret,
                                    struct celery_error *err);
enum celery_status sqlite_inbox_link(struct sqlite_conn *conn,
                                     const struct ledger_webhook *webhook,
                                     const struct ledger_webhook_answer *answer,
                                     struct celery_error *err);
enum celery_status sqlite_inbox_get(void *impl, const char *inbox_id,
                                    struct ledger_inbox_row *ret,
                                    bool *ret_found, struct celery_error *err);
enum celery_status sqlite_inbox_open(void *impl,
                                     const struct ledger_since *since,
                                     char (*ret_ids)[LEDGER_ID_MAX],
                                     size_t *ret_count,
                                     struct celery_error *err);
enum celery_status sqlite_inbox_replayed(void *impl,
                                         const struct ledger_webhook *webhook,
                                         const struct ledger_ingested *deposits,
                                         struct celery_error *err);
enum celery_status sqlite_inbox_expire(void *impl, int64_t until_us,
                                       size_t limit, int64_t *ret_count,
                                       struct celery_error *err);
enum celery_status sqlite_resolve(void *impl,
                                  const struct ledger_resolution *resolution,
                                  struct celery_error *err);
enum celery_status sqlite_collisions(void *impl, struct celery_buf *ret_text,
                                     struct celery_error *err);

/* sqlite_deposits.c */
enum celery_status sqlite_mark_enqueued(void *impl,
                                        const char (*tx_ids)[LEDGER_ID_MAX],
                                        size_t count, double first_s,
                                        double cap_s, struct celery_error *err);
enum celery_status sqlite_sweep(void *impl, const struct ledger_sweep *sweep,
                                struct ledger_due *ret, size_t *ret_count,
                                struct celery_error *err);

/* sqlite_settle.c */
enum celery_status sqlite_settle(void *impl,
                                 const char (*tx_ids)[LEDGER_ID_MAX],
                                 size_t count, struct ledger_settled *ret,
                                 struct celery_error *err);

/* sqlite_queries.c */
enum celery_status sqlite_transactions(void *impl,
                                       const struct ledger_page *page,
                                       struct celery_buf *ret_json,
                                       struct celery_error *err);
enum celery_status sqlite_transaction(void *impl, const char *tx_id,
                                      struct celery_buf *ret_json,
                                      bool *ret_found,
                                      struct celery_error *err);
enum celery_status sqlite_wallet(void *impl, const char *user_id,
                                 const char *currency,
                                 struct celery_buf *ret_json,
                                 struct ledger_wallet_found *ret_found,
                                 struct celery_error *err);
enum celery_status sqlite_register_user(void *impl,
                                        const struct ledger_user *user,
                                        char ret_user_id[LEDGER_ID_MAX],
                                        bool *ret_created,
                                        struct celery_error *err);

/* sqlite_reports.c */
enum celery_status sqlite_check(void *impl, struct ledger_check *ret,
                                struct celery_error *err);
enum celery_status sqlite_explain(void *impl, const char *tx_id,
                                  struct celery_buf *ret_text, bool *ret_found,
                                  struct celery_error *err);
enum celery_status sqlite_backlog(void *impl, struct ledger_backlog *ret,
                                  struct celery_error *err);

/* sqlite_audit.c */
enum celery_status sqlite_audit_books(void *impl, int rows, double pause_s,
                                      struct ledger_audit *ret,
                                      struct celery_error *err);

/* One transaction with every column that ledger_row has; the texts are borrowed
 * until the statement's next step. */
enum celery_status sqlite_find_row(struct sqlite_conn *conn, const char *tx_id,
                                   struct ledger_row *ret, bool *ret_found,
                                   struct celery_error *err);

/* One line of the audit log. details is JSON text. */
enum celery_status sqlite_audit(struct sqlite_conn *conn, const char *action,
                                const char *tx_id, const char *user_id,
                                const char *details, struct celery_error *err);

#endif /* LEDGER_SQLITE_SQLITE_LEDGER_H */
