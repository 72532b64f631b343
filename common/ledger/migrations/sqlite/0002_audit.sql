-- Where the running comparison of the books is, and what it found.

CREATE TABLE ledger_audit (
    only_row      INTEGER PRIMARY KEY CHECK (only_row = 1),
    at_wallets    INTEGER NOT NULL DEFAULT 1, -- or at deposits
    after_id      TEXT NOT NULL DEFAULT '',
    after_currency TEXT NOT NULL DEFAULT '',
    wallets_off   INTEGER NOT NULL DEFAULT 0, -- of the pass under way
    credits_off   INTEGER NOT NULL DEFAULT 0,
    last_wallets_off INTEGER NOT NULL DEFAULT 0, -- of the last whole one
    last_credits_off INTEGER NOT NULL DEFAULT 0,
    passes        INTEGER NOT NULL DEFAULT 0,
    finished_at   INTEGER,
    due_at        INTEGER NOT NULL DEFAULT 0
);
INSERT INTO ledger_audit (only_row) VALUES (1);
