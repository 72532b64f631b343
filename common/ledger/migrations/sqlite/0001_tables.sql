-- Users, wallets, deposits, journal, audit log.
--
-- Times are microseconds since 1970 UTC, money is canonical decimal text that
-- only dec_add, dec_sum and dec_cmp calculate with, ids are lower-case UUIDs.
-- transactions.user_id has no foreign key on purpose: a deposit may name a user
-- who is not known yet.

CREATE TABLE users (
    id          TEXT PRIMARY KEY NOT NULL,
    telegram_id INTEGER UNIQUE,
    username    TEXT UNIQUE,
    status      TEXT NOT NULL DEFAULT 'ACTIVE',
    created_at  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE wallets (
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    currency        TEXT NOT NULL,
    deposit_balance TEXT NOT NULL DEFAULT '0',
    winning_balance TEXT NOT NULL DEFAULT '0',
    bonus_balance   TEXT NOT NULL DEFAULT '0',
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (user_id, currency)
) WITHOUT ROWID;

CREATE TABLE transactions (
    tx_id           TEXT PRIMARY KEY NOT NULL,
    tx_type         TEXT NOT NULL DEFAULT 'deposit',
    chain           TEXT NOT NULL,
    tx_hash         TEXT NOT NULL,
    log_index       INTEGER NOT NULL DEFAULT 0,
    amount          TEXT NOT NULL,
    currency        TEXT NOT NULL,
    state           TEXT NOT NULL DEFAULT 'received'
                    CHECK (state IN
                        ('received', 'awaiting_confirmations', 'credited',
                         'unmatched', 'conflict', 'reversed')),
    user_id         TEXT,
    to_address      TEXT,
    confirmations   INTEGER NOT NULL DEFAULT 0 CHECK (confirmations >= 0),
    confirmations_required INTEGER NOT NULL DEFAULT 0,
    block_number    INTEGER,
    provider_status TEXT,
    conflict_reason TEXT,
    metadata        TEXT, -- the JSON object as it was sent
    raw_body        BLOB,
    traceparent     TEXT,
    created_at      INTEGER NOT NULL,
    enqueued_at     INTEGER,
    next_enqueue_at INTEGER,
    enqueue_count   INTEGER NOT NULL DEFAULT 0,
    started_at      INTEGER,
    processed_at    INTEGER,
    UNIQUE (chain, tx_hash, log_index),
    -- The text is canonical: "0" is the only zero and '-' the only sign.
    CHECK (state = 'conflict' OR (amount <> '0' AND amount NOT LIKE '-%')),
    CHECK (state = 'reversed'
           OR (state = 'credited') = (processed_at IS NOT NULL))
);

CREATE INDEX idx_transactions_newest ON transactions (created_at, tx_id);
CREATE INDEX idx_transactions_user ON transactions (user_id, created_at)
    WHERE user_id IS NOT NULL;
-- The sweeper's: rows with work left by the time they are due, and those
-- that wait for something else: confirmations, a user, a human.
CREATE INDEX idx_transactions_due ON transactions
    (COALESCE(next_enqueue_at, created_at))
    WHERE state = 'received' OR (state = 'awaiting_confirmations'
                                 AND confirmations >= confirmations_required);
CREATE INDEX idx_transactions_set_aside ON transactions (state, user_id)
    WHERE state IN ('awaiting_confirmations', 'unmatched', 'conflict',
                    'reversed');

CREATE TABLE journal (
    id             INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL REFERENCES transactions (tx_id),
    kind           TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    currency       TEXT NOT NULL,
    account        TEXT NOT NULL DEFAULT 'deposit_balance',
    amount         TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (transaction_id, kind)
);
CREATE INDEX idx_journal_wallet ON journal (user_id, currency);

CREATE TABLE audit_log (
    id             INTEGER PRIMARY KEY,
    action         TEXT NOT NULL,
    transaction_id TEXT,
    user_id        TEXT,
    details        TEXT,
    created_at     INTEGER NOT NULL
);
CREATE INDEX idx_audit_log_transaction ON audit_log (transaction_id)
    WHERE transaction_id IS NOT NULL;
