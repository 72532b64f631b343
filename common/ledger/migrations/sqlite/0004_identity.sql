-- What makes a deposit one deposit, and what was sent for it: the canonical
-- hash, indexes that are not known, the inbox of webhooks, the exit of a
-- conflict. See the step of the same name for PostgreSQL.

ALTER TABLE transactions ADD COLUMN canonical_hash TEXT GENERATED ALWAYS AS (
    CASE WHEN length(replace(substr(lower(tx_hash), 1, 2), '0x', '')
                     || substr(lower(tx_hash), 3)) = 64
              AND trim(replace(substr(lower(tx_hash), 1, 2), '0x', '')
                       || substr(lower(tx_hash), 3), '0123456789abcdef') = ''
         THEN replace(substr(lower(tx_hash), 1, 2), '0x', '')
              || substr(lower(tx_hash), 3)
         WHEN substr(lower(tx_hash), 1, 2) = '0x' AND length(tx_hash) > 2
              AND trim(substr(lower(tx_hash), 3), '0123456789abcdef') = ''
         THEN lower(tx_hash)
         ELSE tx_hash END) VIRTUAL;
-- Another old row has the same key in another spelling; that one is found.
ALTER TABLE transactions ADD COLUMN key_collides INTEGER NOT NULL DEFAULT 0;
-- NULL: a row from before, whose index 0 may mean that none was given.
ALTER TABLE transactions ADD COLUMN index_known INTEGER;
-- It was told without an index first, and has taken one over since.
ALTER TABLE transactions ADD COLUMN index_adopted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transactions ADD COLUMN index_stable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transactions ADD COLUMN taken_back INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transactions ADD COLUMN resolution TEXT;
ALTER TABLE transactions ADD COLUMN inbox_id TEXT;

-- Of rows with one key the credited one is found, else the oldest. The others
-- keep their key; what was not credited yet waits for a human.
UPDATE transactions
   SET key_collides = 1,
       conflict_reason = iif(state IN ('received', 'awaiting_confirmations',
                                       'unmatched'),
                             'possible_duplicate', conflict_reason),
       state = iif(state IN ('received', 'awaiting_confirmations', 'unmatched'),
                   'conflict', state)
 WHERE tx_id IN (
    SELECT tx_id FROM (
        SELECT tx_id, row_number() OVER (
                   PARTITION BY chain, canonical_hash, log_index
                   ORDER BY state = 'credited' DESC, created_at, tx_id) AS nth
          FROM transactions)
     WHERE nth > 1);
CREATE UNIQUE INDEX uq_transactions_canonical
    ON transactions (canonical_hash, chain, log_index) WHERE key_collides = 0;
-- A program of before looks for a row by the hash as it was sent and the index 0:
-- what it does not find, but is there, it must not store again.
CREATE TRIGGER transactions_known_already AFTER INSERT ON transactions
    WHEN NEW.index_known IS NULL
         AND EXISTS (SELECT 1 FROM transactions t
                      WHERE t.canonical_hash = NEW.canonical_hash
                        AND t.chain = NEW.chain AND t.key_collides = 0
                        AND t.tx_id <> NEW.tx_id)
BEGIN
    SELECT RAISE(ABORT, 'this transaction is known already');
END;

-- A state is added to the table's checks. They do not touch what is stored, so
-- the text of the schema is changed in place (sqlite.org/lang_altertable.html,
-- section 7).
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
   SET sql = replace(replace(sql,
           '''conflict'', ''reversed''', '''conflict'', ''rejected'', ''reversed'''),
           'CHECK (state = ''conflict'' OR', 'CHECK (state IN (''conflict'', ''rejected'') OR')
 WHERE type = 'table' AND name = 'transactions';
PRAGMA writable_schema = RESET;

-- Every webhook that was correctly signed (or knowingly not), with what became
-- of it. key: "id:" and the sender's id of the event, else the body's digest.
CREATE TABLE inbox (
    id           TEXT PRIMARY KEY NOT NULL,
    source       TEXT NOT NULL,
    key          BLOB NOT NULL,
    digest       BLOB NOT NULL,
    event_id     TEXT,
    request_id   TEXT,
    headers      TEXT, -- a JSON object
    body         BLOB NOT NULL,
    outcome      TEXT NOT NULL
                 CHECK (outcome IN
                     ('stored', 'partial', 'ignored', 'refused')),
    error        TEXT,
    field        TEXT,
    tx_ids       TEXT, -- a JSON array
    seen         INTEGER NOT NULL DEFAULT 1,
    received_at  INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    UNIQUE (source, key)
);
CREATE INDEX idx_inbox_received ON inbox (received_at);
CREATE INDEX idx_inbox_open ON inbox (received_at) WHERE outcome <> 'stored';
