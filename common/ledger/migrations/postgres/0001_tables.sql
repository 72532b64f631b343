-- Users, wallets, deposits, journal, audit log.
--
-- Times are timestamptz, money is numeric(38,18). transactions.user_id has no
-- foreign key on purpose: a deposit may name a user who is not known yet.

CREATE TABLE users (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    telegram_id bigint UNIQUE,
    username    text UNIQUE,
    status      text NOT NULL DEFAULT 'ACTIVE',
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE wallets (
    user_id         uuid NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    currency        text NOT NULL,
    deposit_balance numeric(38,18) NOT NULL DEFAULT 0
                    CONSTRAINT chk_deposit_nonneg CHECK (deposit_balance >= 0),
    winning_balance numeric(38,18) NOT NULL DEFAULT 0
                    CONSTRAINT chk_winning_nonneg CHECK (winning_balance >= 0),
    bonus_balance   numeric(38,18) NOT NULL DEFAULT 0
                    CONSTRAINT chk_bonus_nonneg CHECK (bonus_balance >= 0),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, currency)
);

CREATE TABLE transactions (
    tx_id           uuid PRIMARY KEY,
    tx_type         text NOT NULL DEFAULT 'deposit',
    chain           text NOT NULL,
    tx_hash         text NOT NULL,
    log_index       integer NOT NULL DEFAULT 0,
    amount          numeric(38,18) NOT NULL,
    currency        text NOT NULL,
    state           text NOT NULL DEFAULT 'received'
                    CONSTRAINT chk_state CHECK (state IN
                        ('received', 'awaiting_confirmations', 'credited',
                         'unmatched', 'conflict', 'reversed')),
    user_id         uuid,
    to_address      text,
    confirmations   bigint NOT NULL DEFAULT 0 CHECK (confirmations >= 0),
    confirmations_required bigint NOT NULL DEFAULT 0,
    block_number    bigint,
    provider_status text,
    conflict_reason text,
    metadata        text, -- the JSON object as it was sent
    raw_body        bytea,
    traceparent     text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    enqueued_at     timestamptz,
    next_enqueue_at timestamptz,
    enqueue_count   integer NOT NULL DEFAULT 0,
    started_at      timestamptz,
    processed_at    timestamptz,
    CONSTRAINT uq_transactions_key UNIQUE (chain, tx_hash, log_index),
    -- An amount that had to be cut may be cut to nothing; it is never credited.
    CONSTRAINT chk_amount CHECK (amount > 0 OR state = 'conflict'),
    CONSTRAINT chk_processed CHECK
        (state = 'reversed' OR (state = 'credited') = (processed_at IS NOT NULL))
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
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id uuid NOT NULL REFERENCES transactions (tx_id),
    kind           text NOT NULL,
    user_id        uuid NOT NULL,
    currency       text NOT NULL,
    account        text NOT NULL DEFAULT 'deposit_balance',
    amount         numeric(38,18) NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_journal_once UNIQUE (transaction_id, kind)
);
CREATE INDEX idx_journal_wallet ON journal (user_id, currency);

CREATE TABLE audit_log (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    action         text NOT NULL,
    transaction_id uuid,
    user_id        uuid,
    details        jsonb,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_audit_log_transaction ON audit_log (transaction_id)
    WHERE transaction_id IS NOT NULL;
