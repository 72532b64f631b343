/* SPDX-License-Identifier: MIT */
/*
 * The PostgreSQL driver's verbs, see ledger.h; impl is a struct pg_pool.
 */
#ifndef LEDGER_POSTGRES_PG_LEDGER_H
#define LEDGER_POSTGRES_PG_LEDGER_H

#include "ledger/ledger_driver.h"
#include "ledger/postgres/pg_pool.h"

/* pg_ingest.c */
enum celery_status pg_ingest(void *impl, const struct ledger_batch *batch,
                             struct celery_error *err);

/* pg_inbox.c */
enum celery_status pg_inbox_get(void *impl, const char *inbox_id,
                                struct ledger_inbox_row *ret, bool *ret_found,
                                struct celery_error *err);
enum celery_status pg_inbox_open(void *impl, const struct ledger_since *since,
                                 char (*ret_ids)[LEDGER_ID_MAX],
                                 size_t *ret_count, struct celery_error *err);
enum celery_status pg_inbox_replayed(void *impl,
                                     const struct ledger_webhook *webhook,
                                     const struct ledger_ingested *deposits,
                                     struct celery_error *err);
enum celery_status pg_inbox_expire(void *impl, int64_t until_us, size_t limit,
                                   int64_t *ret_count,
                                   struct celery_error *err);
enum celery_status pg_resolve(void *impl,
                              const struct ledger_resolution *resolution,
                              struct celery_error *err);
enum celery_status pg_collisions(void *impl, struct celery_buf *ret_text,
                                 struct celery_error *err);

/* pg_deposits.c */
enum celery_status pg_mark_enqueued(void *impl,
                                    const char (*tx_ids)[LEDGER_ID_MAX],
                                    size_t count, double first_s, double cap_s,
                                    struct celery_error *err);
enum celery_status pg_sweep(void *impl, const struct ledger_sweep *sweep,
                            struct ledger_due *ret, size_t *ret_count,
                            struct celery_error *err);

/* pg_settle.c */
enum celery_status pg_settle(void *impl, const char (*tx_ids)[LEDGER_ID_MAX],
                             size_t count, struct ledger_settled *ret,
                             struct celery_error *err);

/* pg_queries.c */
enum celery_status pg_transactions(void *impl, const struct ledger_page *page,
                                   struct celery_buf *ret_json,
                                   struct celery_error *err);
enum celery_status pg_transaction(void *impl, const char *tx_id,
                                  struct celery_buf *ret_json, bool *ret_found,
                                  struct celery_error *err);
enum celery_status pg_wallet(void *impl, const char *user_id,
                             const char *currency, struct celery_buf *ret_json,
                             struct ledger_wallet_found *ret_found,
                             struct celery_error *err);
enum celery_status pg_register_user(void *impl, const struct ledger_user *user,
                                    char ret_user_id[LEDGER_ID_MAX],
                                    bool *ret_created,
                                    struct celery_error *err);

/* pg_reports.c */
enum celery_status pg_check(void *impl, struct ledger_check *ret,
                            struct celery_error *err);
enum celery_status pg_explain(void *impl, const char *tx_id,
                              struct celery_buf *ret_text, bool *ret_found,
                              struct celery_error *err);
enum celery_status pg_backlog(void *impl, struct ledger_backlog *ret,
                              struct celery_error *err);

/* pg_audit.c */
enum celery_status pg_audit(void *impl, int rows, double pause_s,
                            struct ledger_audit *ret, struct celery_error *err);

/* Fields of a result, row by row. NULL for NULL; numbers are 0 for it. */
const char *pg_text(const PGresult *result, int row, int column);
int64_t pg_int(const PGresult *result, int row, int column);
bool pg_bool(const PGresult *result, int row, int column);
void pg_copy(const PGresult *result, int row, int column, char *ret_text,
             size_t size);

/* One transaction with every column that ledger_row has. */
struct ledger_row;
enum celery_status pg_find_row(struct pg_pool *pool, const char *tx_id,
                               PGresult **ret, struct celery_error *err);
struct ledger_row pg_read_row(const PGresult *result, int row);

#endif /* LEDGER_POSTGRES_PG_LEDGER_H */
