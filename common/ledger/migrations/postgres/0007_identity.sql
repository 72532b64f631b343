-- What makes a deposit one deposit, and what was sent for it: the canonical
-- hash, indexes that are not known, the inbox of webhooks, the exit of a
-- conflict.

-- What two spellings of one hash have in common, whatever the kind of the chain:
-- 64 hexadecimal digits in lower case without 0x, other digits behind 0x in lower
-- case. Which of the spellings is shown is the kind's business
-- (common/ledger/chain_kind.c); which rows are one deposit must not change with a
-- setting.
CREATE FUNCTION tx_hash_key(p_hash text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- One expression without patterns, which the planner puts in place: each row
    -- is made with it.
    SELECT CASE
        WHEN length(p_hash) = 66 AND left(p_hash, 2) IN ('0x', '0X')
             AND translate(right(p_hash, 64), '0123456789abcdefABCDEF', '') = ''
        THEN lower(right(p_hash, 64) COLLATE "C")
        WHEN length(p_hash) = 64
             AND translate(p_hash, '0123456789abcdefABCDEF', '') = ''
        THEN lower(p_hash COLLATE "C")
        WHEN length(p_hash) > 2 AND left(p_hash, 2) IN ('0x', '0X')
             AND translate(substr(p_hash, 3), '0123456789abcdefABCDEF', '') = ''
        THEN lower(p_hash COLLATE "C")
        ELSE p_hash END
$$;

-- Batches that tell of one hash, or settle it, come one after the other. A hash is
-- the same on every chain: a chain may have been renamed.
CREATE FUNCTION tx_lock(p_key text)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended(p_key, 0)
$$;

-- Equal, hexadecimal digits but for case and 0x; NULL where one is not told.
CREATE FUNCTION same_address(a text, b text)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT a = b OR (a ~ '^(0[xX])?[0-9a-fA-F]+$'
                     AND lower(regexp_replace(a, '^0[xX]', ''))
                         = lower(regexp_replace(b, '^0[xX]', '')))
$$;

-- Addresses of different forms may be one recipient (cashaddr and base58, base58
-- and hexadecimal), and so may texts that differ in case: other ones of the same
-- form are not.
CREATE FUNCTION address_form(a text)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN a ~ '^(0[xX])?[0-9a-fA-F]+$' THEN '0x'
                ELSE lower(left(a, 1)) END
$$;

-- An address decides, where both are told; else the user. What is not told may be
-- the same.
CREATE FUNCTION may_be_same_recipient(a_address text, a_user uuid,
                                      b_address text, b_user uuid)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN a_address IS NOT NULL AND b_address IS NOT NULL
                THEN same_address(a_address, b_address)
                     OR lower(a_address) = lower(b_address)
                     OR address_form(a_address) <> address_form(b_address)
                ELSE COALESCE(a_user = b_user, true) END
$$;

-- One rewriting of the table, which makes its indexes anew as well: the one that
-- is dropped is not among them, its place takes the one on the canonical hash.
-- What called for it by name is replaced below.
ALTER TABLE transactions DROP CONSTRAINT uq_transactions_key;
ALTER TABLE transactions
    ADD COLUMN canonical_hash text
        GENERATED ALWAYS AS (tx_hash_key(tx_hash)) STORED,
    -- Another old row has the same key in another spelling; that one is found.
    ADD COLUMN key_collides boolean NOT NULL DEFAULT false,
    -- NULL: a row from before, whose index 0 may mean that none was given.
    ADD COLUMN index_known boolean,
    -- It was told without an index first, and has taken one over since.
    ADD COLUMN index_adopted boolean NOT NULL DEFAULT false,
    ADD COLUMN index_stable boolean NOT NULL DEFAULT false,
    ADD COLUMN taken_back boolean NOT NULL DEFAULT false,
    ADD COLUMN resolution text, -- what a human said of a conflict
    ADD COLUMN inbox_id uuid,   -- the webhook that made the row
    DROP CONSTRAINT chk_state, DROP CONSTRAINT chk_amount,
    ADD CONSTRAINT chk_state CHECK (state IN
        ('received', 'awaiting_confirmations', 'credited', 'unmatched',
         'conflict', 'rejected', 'reversed')),
    ADD CONSTRAINT chk_amount CHECK
        (amount > 0 OR state IN ('conflict', 'rejected'));

-- Of rows with one key the credited one is found, else the oldest. The others
-- keep their key; what was not credited yet waits for a human.
UPDATE transactions t
   SET key_collides = true,
       state = CASE WHEN t.state IN ('received', 'awaiting_confirmations',
                                     'unmatched')
                    THEN 'conflict' ELSE t.state END,
       conflict_reason = CASE WHEN t.state IN
                                   ('received', 'awaiting_confirmations',
                                    'unmatched')
                              THEN 'possible_duplicate'
                              ELSE t.conflict_reason END
  FROM (SELECT r.tx_id, row_number() OVER (
                   PARTITION BY r.chain, r.canonical_hash, r.log_index
                   ORDER BY (r.state = 'credited') DESC, r.created_at,
                            r.tx_id) AS nth
          FROM transactions r
          JOIN (SELECT chain, canonical_hash, log_index FROM transactions
                 GROUP BY 1, 2, 3 HAVING count(*) > 1) AS several
               USING (chain, canonical_hash, log_index)) n
 WHERE n.tx_id = t.tx_id AND n.nth > 1;
CREATE INDEX idx_transactions_rejected ON transactions (state)
    WHERE state = 'rejected';
CREATE UNIQUE INDEX uq_transactions_canonical
    ON transactions (canonical_hash, chain, log_index) WHERE NOT key_collides;

-- Every webhook that was correctly signed (or knowingly not), with what became
-- of it. key: "id:" and the sender's id of the event, else the body's digest.
CREATE TABLE inbox (
    id           uuid PRIMARY KEY,
    source       text NOT NULL,
    key          bytea NOT NULL,
    digest       bytea NOT NULL,
    event_id     text,
    request_id   text,
    headers      text, -- a JSON object
    body         bytea NOT NULL,
    outcome      text NOT NULL CONSTRAINT chk_outcome
                 CHECK (outcome IN
                        ('stored', 'partial', 'ignored', 'refused')),
    error        text,
    field        text,
    tx_ids       uuid[],
    seen         bigint NOT NULL DEFAULT 1,
    received_at  timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_inbox_key UNIQUE (source, key)
);
CREATE INDEX idx_inbox_received ON inbox USING brin (received_at);
CREATE INDEX idx_inbox_open ON inbox (received_at) WHERE outcome <> 'stored';

-- How much of a webhook was taken.
CREATE FUNCTION outcome_rank(p_outcome text)
RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_outcome WHEN 'stored' THEN 2 WHEN 'partial' THEN 1 ELSE 0 END
$$;

-- Is a transfer of that hash, recipient and amount known under another index, or
-- on another chain? A source's stable indexes are transfers of their own, but in
-- one block only: one that was taken back comes again under another index.
CREATE FUNCTION is_possible_duplicate(
    p_chain text, p_hash text, p_index integer, p_amount numeric,
    p_address text, p_user uuid, p_stable boolean, p_block bigint)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM transactions t
         WHERE t.canonical_hash = tx_hash_key(p_hash) AND NOT t.key_collides
           AND CASE WHEN t.chain = p_chain
                    THEN t.log_index <> p_index OR p_index < 0
                    ELSE t.canonical_hash ~ '^[0-9a-f]{64}$' END
           AND t.amount = p_amount
           AND may_be_same_recipient(t.to_address, t.user_id, p_address, p_user)
           AND NOT (t.chain = p_chain AND t.index_stable AND p_stable
                    AND NOT t.taken_back
                    AND t.block_number IS NOT DISTINCT FROM p_block)
           AND t.state NOT IN ('rejected', 'reversed'))
$$;

CREATE FUNCTION audit_once(p_action text, p_tx_id uuid, p_user uuid,
                           p_details jsonb)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO audit_log (action, transaction_id, user_id, details)
    SELECT p_action, p_tx_id, p_user, p_details
     WHERE NOT EXISTS (
        SELECT 1 FROM audit_log a
         WHERE a.transaction_id = p_tx_id AND a.action = p_action
           AND a.details = p_details)
$$;

-- The webhooks of a batch into the inbox. Answers those that were known: the
-- same again ('repeated'), or an event id with another body ('reused'), whose
-- deposits are not taken.
CREATE FUNCTION inbox_put(
    w_id uuid[], w_source text[], w_key bytea[], w_digest bytea[],
    w_event_id text[], w_request_id text[], w_headers text[], w_body bytea[],
    w_outcome text[], w_error text[], w_field text[], w_first integer[],
    w_count integer[], d_id uuid[])
RETURNS TABLE (webhook integer, id uuid, result text)
LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    added bigint;
    w record;
BEGIN
    -- Bodies of one event come one after the other.
    PERFORM pg_advisory_xact_lock(k.lock)
      FROM (SELECT DISTINCT hashtextextended(
                       i.source || encode(i.key, 'hex'), 1) AS lock
              FROM unnest(w_source, w_key) AS i (source, key)
             WHERE substr(i.key, 1, 3) = 'id:'::bytea ORDER BY 1) AS k;
    INSERT INTO inbox (id, source, key, digest, event_id, request_id, headers,
                       body, outcome, error, field, tx_ids)
    SELECT i.id, i.source, i.key, i.digest, i.event_id, i.request_id,
           i.headers, i.body, i.outcome, i.error, i.field,
           d_id[i.first:i.first + i.count - 1]
      FROM unnest(w_id, w_source, w_key, w_digest, w_event_id, w_request_id,
                  w_headers, w_body, w_outcome, w_error, w_field, w_first,
                  w_count)
           WITH ORDINALITY AS i (id, source, key, digest, event_id, request_id,
                                 headers, body, outcome, error, field, first,
                                 count, ord)
     ORDER BY i.source, i.key, i.ord
    ON CONFLICT ON CONSTRAINT uq_inbox_key DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added = cardinality(w_id) THEN
        RETURN;
    END IF;
    FOR w IN
        SELECT i.*, b.id AS known_id, b.digest AS known_digest,
               b.outcome AS known_outcome
          FROM unnest(w_id, w_source, w_key, w_digest, w_event_id,
                      w_request_id, w_headers, w_body, w_outcome, w_error,
                      w_field, w_first, w_count)
               WITH ORDINALITY AS i (given_id, source, key, digest, event_id,
                                     request_id, headers, body, outcome, error,
                                     field, first, count, ord)
          JOIN inbox b USING (source, key)
         WHERE b.id <> i.given_id
         ORDER BY b.id, i.ord FOR UPDATE OF b
    LOOP
        webhook := w.ord;
        id := w.known_id;
        IF w.known_digest = w.digest THEN
            result := 'repeated';
            -- What was not understood then may be now; what was taken stays so.
            UPDATE inbox b
               SET seen = b.seen + 1, last_seen_at = now(),
                   outcome = CASE WHEN n.stays THEN b.outcome
                                  ELSE w.outcome END,
                   error = CASE WHEN n.stays THEN b.error ELSE w.error END,
                   field = CASE WHEN n.stays THEN b.field ELSE w.field END
              FROM (SELECT outcome_rank(w.known_outcome)
                           > outcome_rank(w.outcome)
                           OR w.known_outcome = 'stored' AS stays) AS n
             WHERE b.id = w.known_id;
        ELSIF w.known_outcome IN ('ignored', 'refused')
              AND w.outcome IN ('ignored', 'refused') THEN
            -- Nothing was taken of either: both are kept.
            INSERT INTO inbox AS b (id, source, key, digest, event_id,
                request_id, headers, body, outcome, error, field)
            VALUES (w.given_id, w.source, 'over:'::bytea || w.digest, w.digest,
                    w.event_id, w.request_id, w.headers, w.body, w.outcome,
                    w.error, w.field)
            ON CONFLICT ON CONSTRAINT uq_inbox_key
            DO UPDATE SET seen = b.seen + 1, last_seen_at = now()
            RETURNING b.id INTO id;
            CONTINUE WHEN id = w.given_id;
            result := 'repeated';
        ELSE
            -- Nothing was taken of the first: this one stands for the event.
            UPDATE inbox b
               SET key = 'over:'::bytea || b.digest || uuid_send(b.id)
             WHERE b.id = w.known_id AND b.key = w.key
               AND w.known_outcome IN ('ignored', 'refused');
            INSERT INTO inbox (id, source, key, digest, event_id, request_id,
                               headers, body, outcome, error, field, tx_ids)
            VALUES (w.given_id, w.source, w.key, w.digest, w.event_id,
                    w.request_id, w.headers, w.body, w.outcome, w.error,
                    w.field, d_id[w.first:w.first + w.count - 1])
            ON CONFLICT ON CONSTRAINT uq_inbox_key DO NOTHING;
            CONTINUE WHEN FOUND;
            -- Something was, of the first or of another one in this batch.
            result := 'reused';
            id := keep_reused(w.given_id, w.source, w.digest, w.event_id,
                              w.request_id, w.headers, w.body);
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- The body that came under a used id is kept, under a key of its own.
CREATE FUNCTION keep_reused(p_id uuid, p_source text, p_digest bytea,
                            p_event_id text, p_request_id text, p_headers text,
                            p_body bytea)
RETURNS uuid LANGUAGE sql AS $$
    INSERT INTO inbox AS b (id, source, key, digest, event_id, request_id,
                            headers, body, outcome, error)
    VALUES (p_id, p_source, 'used:'::bytea || p_digest, p_digest, p_event_id,
            p_request_id, p_headers, p_body, 'refused',
            'the event id was used with another body')
    ON CONFLICT ON CONSTRAINT uq_inbox_key
    DO UPDATE SET seen = b.seen + 1, last_seen_at = now()
    RETURNING b.id
$$;

-- One batch: the webhooks w_* and the deposits d_* that they announce, those of
-- one webhook side by side (w_first, w_count; d_webhook is 1, 2, ... or 0). The
-- hash is canonical, an index of -1 is not known. Answers a row for each deposit
-- (item 1, 2, ...) and for each webhook that was known (item -1, -2, ...).
CREATE FUNCTION ingest_webhooks(
    w_id uuid[], w_source text[], w_key bytea[], w_digest bytea[],
    w_event_id text[], w_request_id text[], w_headers text[], w_body bytea[],
    w_outcome text[], w_error text[], w_field text[], w_first integer[],
    w_count integer[],
    d_webhook integer[], d_id uuid[], d_chain text[], d_hash text[],
    d_index integer[], d_stable boolean[], d_amount text[], d_currency text[],
    d_user uuid[], d_confirmations bigint[], d_required bigint[],
    d_block bigint[], d_address text[], d_status text[], d_reason text[],
    d_back boolean[], d_metadata text[], d_trace text[])
RETURNS TABLE (item integer, id uuid, result text, state text,
               publish boolean, traceparent text, detail text)
LANGUAGE plpgsql SET jit = off SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    reused integer[] := '{}';
    box uuid[] := w_id; -- the inbox row of each webhook
    keys text[] := ARRAY(SELECT tx_hash_key(u.hash)
                           FROM unnest(d_hash) WITH ORDINALITY AS u (hash, ord)
                          ORDER BY u.ord);
    fresh uuid[];
    known record;
    w record;
    d record;
    why text;
BEGIN
    IF cardinality(w_id) > 0 THEN
        FOR w IN SELECT * FROM inbox_put(w_id, w_source, w_key, w_digest,
            w_event_id, w_request_id, w_headers, w_body, w_outcome, w_error,
            w_field, w_first, w_count, d_id)
        LOOP
            item := -w.webhook;
            id := w.id;
            result := w.result;
            box[w.webhook] := w.id;
            IF w.result = 'reused' THEN
                reused := reused || w.webhook;
            END IF;
            RETURN NEXT;
        END LOOP;
    END IF;

    PERFORM pg_advisory_xact_lock(k.lock)
      FROM (SELECT DISTINCT tx_lock(u.key) AS lock
              FROM unnest(keys) AS u (key) ORDER BY 1) AS k;

    -- What nobody has told of yet, which is nearly all, at once.
    WITH added AS (
        INSERT INTO transactions AS t (tx_id, chain, tx_hash, log_index,
            index_known, index_stable, taken_back, amount, currency, state,
            user_id, confirmations, confirmations_required, block_number,
            to_address, provider_status, conflict_reason, metadata,
            traceparent, inbox_id)
        SELECT i.id, i.chain, i.hash, i.index, i.index >= 0, i.stable, i.back,
               i.amount::numeric, i.currency,
               CASE WHEN i.reason IS NULL THEN 'received' ELSE 'conflict' END,
               i.user_id, i.confirmations, i.required, i.block, i.address,
               i.status, i.reason, i.metadata, i.trace, box[i.webhook]
          FROM (SELECT *, row_number() OVER (
                              PARTITION BY tx_lock(u.key)
                              ORDER BY u.ord) AS nth
                  FROM unnest(d_webhook, d_id, d_chain, d_hash, keys, d_index,
                              d_stable, d_amount, d_currency, d_user,
                              d_confirmations, d_required, d_block, d_address,
                              d_status, d_reason, d_back, d_metadata, d_trace)
                       WITH ORDINALITY
                       AS u (webhook, id, chain, hash, key, index, stable,
                             amount, currency, user_id, confirmations, required,
                             block, address, status, reason, back, metadata,
                             trace, ord)
               ) AS i
         WHERE i.nth = 1 AND i.webhook <> ALL (reused)
           AND NOT EXISTS (SELECT 1 FROM transactions o
                            WHERE o.canonical_hash = i.key
                              AND NOT o.key_collides)
        ON CONFLICT DO NOTHING
        RETURNING t.tx_id
    )
    SELECT COALESCE(array_agg(a.tx_id), '{}') INTO fresh FROM added a;
    RETURN QUERY
    SELECT i.ord::integer, i.id, 'new'::text,
           CASE WHEN i.reason IS NULL THEN 'received' ELSE 'conflict' END,
           i.reason IS NULL, i.trace, NULL::text
      FROM unnest(d_id, d_reason, d_trace) WITH ORDINALITY
           AS i (id, reason, trace, ord)
     WHERE cardinality(fresh) = cardinality(d_id) OR i.id = ANY (fresh);
    IF cardinality(fresh) = cardinality(d_id) AND box = w_id THEN
        RETURN;
    END IF;

    -- Rows are locked in the order of their ids, here as in a settlement.
    PERFORM 1 FROM transactions t
      JOIN (SELECT DISTINCT u.key FROM unnest(keys) AS u (key)) AS k
           ON k.key = t.canonical_hash
     ORDER BY t.tx_id FOR UPDATE OF t;
    -- The rest one by one: each may depend on the one before.
    FOR d IN
        SELECT * FROM unnest(d_webhook, d_id, d_chain, d_hash, d_index,
                             d_stable, d_amount, d_currency, d_user,
                             d_confirmations, d_required, d_block, d_address,
                             d_status, d_reason, d_back, d_metadata, d_trace)
                      WITH ORDINALITY
                      AS i (webhook, id, chain, hash, index, stable, amount,
                            currency, user_id, confirmations, required, block,
                            address, status, reason, back, metadata, trace,
                            ord)
         WHERE i.webhook <> ALL (reused) AND i.id <> ALL (fresh)
         ORDER BY i.ord
    LOOP
        SELECT * INTO known FROM ingest_known(d.chain, d.hash, d.index,
                                              d.address);
        IF known.tx_id IS NULL THEN
            SELECT * INTO known
              FROM ingest_adopt(d.chain, d.hash, d.index, d.stable,
                                d.amount::numeric, d.currency, d.address,
                                d.user_id);
        END IF;
        IF known.tx_id IS NULL THEN
            why := d.reason;
            IF why IS NULL AND is_possible_duplicate(d.chain, d.hash, d.index,
                d.amount::numeric, d.address, d.user_id, d.stable, d.block)
            THEN
                why := 'possible_duplicate';
            END IF;
            INSERT INTO transactions AS t (tx_id, chain, tx_hash, log_index,
                index_known, index_stable, taken_back, amount, currency,
                state, user_id, confirmations, confirmations_required,
                block_number, to_address, provider_status, conflict_reason,
                metadata, traceparent, inbox_id)
            VALUES (d.id, d.chain, d.hash,
                CASE WHEN d.index >= 0 THEN d.index ELSE
                    (SELECT LEAST(-1, min(o.log_index) - 1)
                       FROM transactions o
                      WHERE o.chain = d.chain
                        AND o.canonical_hash = tx_hash_key(d.hash)
                        AND NOT o.key_collides AND o.log_index < 0) END,
                d.index >= 0, d.stable, d.back, d.amount::numeric, d.currency,
                CASE WHEN why IS NULL THEN 'received' ELSE 'conflict' END,
                d.user_id, d.confirmations, d.required, d.block, d.address,
                d.status, why, d.metadata, d.trace, box[d.webhook])
            ON CONFLICT DO NOTHING;
            IF FOUND THEN
                item := d.ord;
                id := d.id;
                result := 'new';
                state := CASE WHEN why IS NULL THEN 'received'
                              ELSE 'conflict' END;
                publish := why IS NULL;
                traceparent := d.trace;
                detail := why;
                RETURN NEXT;
                CONTINUE;
            END IF;
            -- Another batch was faster; its row is there now.
            SELECT * INTO known FROM ingest_known(d.chain, d.hash, d.index,
                                                  d.address);
        END IF;
        IF known.tx_id IS NULL THEN
            RAISE EXCEPTION 'the deposit % % vanished', d.chain, d.hash
                USING ERRCODE = 'serialization_failure';
        END IF;
        item := d.ord;
        id := known.tx_id;
        traceparent := known.traceparent;
        SELECT * INTO result, state, publish, detail
          FROM ingest_again(known.tx_id, d.amount::numeric, d.currency,
                            d.user_id, d.confirmations, d.required, d.block,
                            d.address, d.reason, d.back);
        IF known.tx_id = d.id THEN
            result := 'new'; -- from a try whose answer was lost
        END IF;
        RETURN NEXT;
    END LOOP;

    -- Which deposits a webhook told of, where they were not all its own.
    UPDATE inbox b SET tx_ids = n.ids || ARRAY(
               SELECT u.id FROM unnest(b.tx_ids) WITH ORDINALITY AS u (id, ord)
                WHERE u.id <> ALL (n.ids)
                  AND EXISTS (SELECT 1 FROM transactions k WHERE k.tx_id = u.id)
                ORDER BY u.ord)
      FROM (SELECT box[i.webhook] AS inbox_id,
                   array_agg(t.tx_id ORDER BY i.ord) AS ids
              FROM unnest(d_webhook, d_chain, d_hash, d_index, d_address)
                   WITH ORDINALITY
                   AS i (webhook, chain, hash, index, address, ord)
              CROSS JOIN LATERAL ingest_known(i.chain, i.hash, i.index,
                                              i.address) AS t
             WHERE i.webhook > 0 AND i.webhook <> ALL (reused)
             GROUP BY 1) AS n
     WHERE b.id = n.inbox_id AND b.tx_ids IS DISTINCT FROM n.ids;
END $$;

-- The row of a key, locked. An index that is not told is below 0, one number for
-- each address; it is also that of a row that was told without one first, and of
-- an old row which may not have been told one.
CREATE FUNCTION ingest_known(p_chain text, p_hash text, p_index integer,
                             p_address text)
RETURNS TABLE (tx_id uuid, traceparent text)
LANGUAGE sql AS $$
    SELECT t.tx_id, t.traceparent FROM transactions t
     WHERE t.chain = p_chain AND t.canonical_hash = tx_hash_key(p_hash)
       AND NOT t.key_collides
       AND (t.log_index = p_index AND p_index >= 0
            OR (p_index < 0
                AND (t.log_index < 0 OR t.index_adopted
                     OR (t.log_index = 0 AND t.index_known IS NULL))
                AND COALESCE(same_address(t.to_address, p_address), true)))
     ORDER BY same_address(t.to_address, p_address) DESC NULLS LAST,
              t.index_adopted, t.log_index DESC LIMIT 1
       FOR UPDATE
$$;

-- A transfer is often told of before it has an index, as pending. The one row
-- that still waits for confirmations then takes the index over.
CREATE FUNCTION ingest_adopt(p_chain text, p_hash text, p_index integer,
                             p_stable boolean, p_amount numeric,
                             p_currency text, p_address text, p_user uuid)
RETURNS TABLE (tx_id uuid, traceparent text)
LANGUAGE sql AS $$
    UPDATE transactions t
       SET log_index = p_index, index_known = true, index_adopted = true,
           index_stable = p_stable
     WHERE p_index >= 0
       AND t.tx_id = (
            SELECT CASE WHEN count(*) = 1 THEN (array_agg(o.tx_id))[1] END
              FROM transactions o
             WHERE o.chain = p_chain
               AND o.canonical_hash = tx_hash_key(p_hash)
               AND NOT o.key_collides AND o.log_index < 0
               AND o.amount = p_amount AND o.currency = p_currency
               AND may_be_same_recipient(o.to_address, o.user_id, p_address,
                                         p_user)
               AND o.state NOT IN ('rejected', 'reversed'))
       AND t.state IN ('received', 'awaiting_confirmations')
       AND t.confirmations < t.confirmations_required
    RETURNING t.tx_id, t.traceparent
$$;

-- A deposit that is known was announced again. It never changes amount,
-- currency or user; what contradicts it is recorded once.
CREATE FUNCTION ingest_again(
    p_tx_id uuid, p_amount numeric, p_currency text, p_user uuid,
    p_confirmations bigint, p_required bigint, p_block bigint, p_address text,
    p_reason text, p_back boolean)
RETURNS TABLE (result text, state text, publish boolean, detail text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    k transactions;
    told bigint;
BEGIN
    SELECT * INTO k FROM transactions t WHERE t.tx_id = p_tx_id FOR UPDATE;
    state := k.state;
    publish := false;
    detail := concat_ws(', ',
        CASE WHEN k.amount <> p_amount
                  OR (p_reason IS NOT NULL AND NOT p_back
                      AND k.conflict_reason IS DISTINCT FROM p_reason)
             THEN 'amount' END,
        CASE WHEN k.currency <> p_currency THEN 'currency' END,
        CASE WHEN k.user_id <> p_user THEN 'user_id' END);
    IF detail <> '' THEN
        result := 'differs';
        PERFORM audit_once('deposit_differs', k.tx_id, k.user_id,
            jsonb_build_object('amount', trim_scale(p_amount)::text,
                'currency', p_currency, 'user_id', p_user,
                'reason', p_reason));
    ELSIF p_back THEN
        -- It is not credited any more; if it was, somebody has to look.
        result := CASE WHEN k.state IN ('conflict', 'rejected')
                       THEN 'duplicate' ELSE 'differs' END;
        detail := 'status';
        IF result = 'differs' THEN
            PERFORM audit_once('deposit_contradicted', k.tx_id, k.user_id,
                jsonb_build_object('reason', p_reason, 'state', k.state));
        END IF;
        UPDATE transactions t SET taken_back = true
         WHERE t.tx_id = k.tx_id AND NOT t.taken_back;
        IF k.state IN ('received', 'unmatched', 'awaiting_confirmations') THEN
            UPDATE transactions t
               SET state = 'conflict', conflict_reason = p_reason
             WHERE t.tx_id = k.tx_id;
            state := 'conflict';
        END IF;
    ELSE
        result := 'duplicate';
        detail := NULL;
        -- One that is final by itself was told once at least.
        told := CASE WHEN p_confirmations >= p_required
                     THEN GREATEST(p_confirmations, 1)
                     ELSE p_confirmations END;
        publish :=
            (k.state = 'received' AND k.next_enqueue_at IS NULL)
            OR (k.state = 'awaiting_confirmations'
                AND k.confirmations < k.confirmations_required
                AND told >= k.confirmations_required)
            OR (k.state = 'unmatched' AND k.user_id IS NULL
                AND p_user IS NOT NULL);
        UPDATE transactions t
           SET confirmations = CASE WHEN t.confirmations
                                         < t.confirmations_required
                                         OR p_confirmations > t.confirmations
                                    THEN GREATEST(t.confirmations, told)
                                    ELSE t.confirmations END,
               user_id = CASE WHEN t.state IN ('received', 'unmatched',
                                   'awaiting_confirmations')
                              THEN COALESCE(t.user_id, p_user)
                              ELSE t.user_id END,
               to_address = COALESCE(t.to_address, p_address),
               block_number = COALESCE(t.block_number, p_block),
               next_enqueue_at = CASE WHEN publish AND t.state <> 'received'
                                      THEN now() ELSE t.next_enqueue_at END
         WHERE t.tx_id = k.tx_id
           AND (told > t.confirmations OR publish
                OR (t.user_id IS NULL AND p_user IS NOT NULL)
                OR (t.to_address IS NULL AND p_address IS NOT NULL)
                OR (t.block_number IS NULL AND p_block IS NOT NULL));
    END IF;
    RETURN NEXT;
END $$;

-- For programs of before: what they call, on the new key.
CREATE OR REPLACE FUNCTION ingest_deposits(
    p_tx_id uuid[], p_chain text[], p_tx_hash text[], p_log_index integer[],
    p_amount text[], p_currency text[], p_user_id uuid[],
    p_confirmations bigint[], p_required bigint[], p_block_number bigint[],
    p_to_address text[], p_provider_status text[], p_conflict_reason text[],
    p_metadata text[], p_raw_body bytea[], p_traceparent text[])
RETURNS TABLE (given_id uuid, tx_id uuid, result text, state text,
               publish boolean, traceparent text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    n integer := cardinality(p_tx_id);
BEGIN
    RETURN QUERY
    SELECT p_tx_id[r.item], r.id, r.result, r.state, r.publish, r.traceparent
      FROM ingest_webhooks('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
               '{}', '{}', '{}', '{}', '{}', array_fill(0, ARRAY[n]), p_tx_id,
               p_chain, p_tx_hash,
               p_log_index, array_fill(false, ARRAY[n]), p_amount, p_currency,
               p_user_id, p_confirmations, p_required, p_block_number,
               p_to_address, p_provider_status, p_conflict_reason,
               (SELECT array_agg(COALESCE(p_conflict_reason[i] LIKE 'the %',
                                          false) ORDER BY i)
                  FROM generate_series(1, n) AS i),
               p_metadata, p_traceparent) AS r;
    UPDATE transactions t SET raw_body = p_raw_body[i], index_known = NULL
      FROM generate_series(1, n) AS i
     WHERE t.tx_id = p_tx_id[i] AND t.raw_body IS NULL;
END $$;

-- A human's word: 'credit' lets a conflict be settled as any other, 'reject' ends
-- it, or any other deposit that is not credited yet. Not known: there is no such
-- deposit; not resolved: it is in another state, or has no amount to credit.
CREATE FUNCTION resolve_deposit(p_tx_id uuid, p_credit boolean, p_reason text,
                                p_actor text)
RETURNS TABLE (known boolean, resolved boolean, state text, amount numeric)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    k transactions;
BEGIN
    SELECT * INTO k FROM transactions t WHERE t.tx_id = p_tx_id FOR UPDATE;
    known := k.tx_id IS NOT NULL;
    resolved := known AND NOT (p_credit AND k.amount = 0)
                AND (k.state = 'conflict'
                     OR (NOT p_credit AND k.state IN
                         ('received', 'awaiting_confirmations', 'unmatched')));
    state := k.state;
    amount := k.amount;
    IF resolved THEN
        state := CASE WHEN p_credit THEN 'received' ELSE 'rejected' END;
        UPDATE transactions t
           SET state = CASE WHEN p_credit THEN 'received' ELSE 'rejected' END,
               resolution = CASE WHEN p_credit THEN 'credit' ELSE 'reject' END,
               next_enqueue_at = now()
         WHERE t.tx_id = p_tx_id;
        INSERT INTO audit_log (action, transaction_id, user_id, details)
        VALUES ('deposit_resolved', p_tx_id, k.user_id,
                jsonb_build_object('resolution',
                    CASE WHEN p_credit THEN 'credit' ELSE 'reject' END,
                    'reason', p_reason, 'actor', p_actor,
                    'conflict', k.conflict_reason));
    END IF;
    RETURN NEXT;
END $$;

-- As before, with the rows locked in the order of their ids. The settings keep a
-- plan that was made while a table was small from reading all of it later.
CREATE OR REPLACE FUNCTION mark_enqueued(ids uuid[], first_s double precision,
                                         cap_s double precision)
RETURNS void LANGUAGE plpgsql SET jit = off SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM 1 FROM transactions t
     WHERE t.tx_id = ANY (ids) ORDER BY t.tx_id FOR UPDATE;
    UPDATE transactions t
       SET enqueued_at = clock_timestamp(),
           enqueue_count = t.enqueue_count + 1,
           next_enqueue_at = clock_timestamp()
                             + enqueue_pause(t.enqueue_count, first_s, cap_s)
     WHERE t.tx_id = ANY (ids);
END $$;

-- As before, with a fence behind is_possible_duplicate(): a human may have
-- credited the other one meanwhile. And a balance that its column cannot hold is
-- no reason to try again for ever.
CREATE OR REPLACE FUNCTION settle_deposits_told(ids uuid[])
RETURNS TABLE (tx_id uuid, state text, credited_now boolean, tx_hash text,
               created_at timestamptz, enqueued_at timestamptz,
               waited boolean)
LANGUAGE plpgsql SET jit = off SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    -- Two transfers that may be one are settled one after the other.
    PERFORM pg_advisory_xact_lock(k.lock)
      FROM (SELECT DISTINCT tx_lock(t.canonical_hash) AS lock
              FROM transactions t
             WHERE t.tx_id = ANY (ids) ORDER BY 1) AS k;
    PERFORM 1 FROM transactions t
     WHERE t.tx_id = ANY (ids) ORDER BY t.tx_id FOR UPDATE;

    RETURN QUERY
    WITH seen AS (
        SELECT t.tx_id, t.user_id, t.currency, t.amount, t.tx_hash,
               t.confirmations, t.confirmations_required, t.created_at,
               t.enqueued_at, t.state AS old_state,
               CASE WHEN t.state NOT IN
                         ('received', 'awaiting_confirmations', 'unmatched')
                    THEN NULL
                    WHEN t.resolution IS NULL AND EXISTS (
                        SELECT 1 FROM transactions o
                         WHERE o.canonical_hash = t.canonical_hash
                           AND NOT o.key_collides
                           AND CASE WHEN o.chain = t.chain
                                    THEN o.log_index <> t.log_index
                                    ELSE o.canonical_hash
                                         ~ '^[0-9a-f]{64}$' END
                           AND o.amount = t.amount
                           AND may_be_same_recipient(o.to_address, o.user_id,
                                                     t.to_address, t.user_id)
                           AND NOT (o.chain = t.chain
                                    AND o.index_stable AND t.index_stable
                                    AND NOT o.taken_back
                                    AND NOT t.taken_back
                                    AND o.block_number
                                        IS NOT DISTINCT FROM t.block_number)
                           AND (o.state = 'credited'
                                OR (o.state IN ('received', 'unmatched',
                                                'awaiting_confirmations')
                                    AND (o.resolution IS NOT NULL
                                         OR (o.created_at, o.tx_id)
                                            < (t.created_at, t.tx_id)))))
                    THEN 'possible_duplicate'
                    WHEN t.amount >= 1e15 AND t.amount + COALESCE((
                        SELECT w.deposit_balance FROM wallets w
                         WHERE w.user_id = t.user_id
                           AND w.currency = t.currency), 0) >= 1e20
                    THEN 'the balance would be too large' END AS why
          FROM transactions t
         WHERE t.tx_id = ANY (ids)
    ), judged AS (
        SELECT s.*,
               CASE WHEN s.old_state NOT IN
                         ('received', 'awaiting_confirmations', 'unmatched')
                    THEN s.old_state
                    WHEN s.why IS NOT NULL THEN 'conflict'
                    WHEN s.confirmations < s.confirmations_required
                    THEN 'awaiting_confirmations'
                    WHEN NOT EXISTS (SELECT 1 FROM users u
                                      WHERE u.id = s.user_id)
                    THEN 'unmatched'
                    ELSE 'credited' END AS new_state
          FROM seen s
    ), credit AS (
        SELECT * FROM judged
         WHERE new_state = 'credited' AND old_state <> 'credited'
    ), paid AS (
        INSERT INTO wallets AS w (user_id, currency, deposit_balance)
        SELECT c.user_id, c.currency, sum(c.amount)
          FROM credit c GROUP BY c.user_id, c.currency
         ORDER BY c.user_id, c.currency
        ON CONFLICT (user_id, currency) DO UPDATE
           SET deposit_balance = w.deposit_balance + EXCLUDED.deposit_balance,
               updated_at = now()
        RETURNING w.user_id, w.currency, w.deposit_balance
    ), lines AS (
        INSERT INTO journal (transaction_id, kind, user_id, currency, amount)
        SELECT c.tx_id, 'deposit_credit', c.user_id, c.currency, c.amount
          FROM credit c
    ), trail AS (
        INSERT INTO audit_log (action, transaction_id, user_id, details)
        SELECT 'process_deposit', c.tx_id, c.user_id,
               jsonb_build_object('tx_hash', c.tx_hash,
                   'amount', trim_scale(c.amount)::text,
                   'currency', c.currency, 'confirmations', c.confirmations,
                   'new_balance', trim_scale(p.deposit_balance)::text)
          FROM credit c JOIN paid p USING (user_id, currency)
    ), done AS (
        UPDATE transactions t
           SET state = j.new_state,
               conflict_reason = COALESCE(j.why, t.conflict_reason),
               started_at = COALESCE(t.started_at, now()),
               processed_at = CASE WHEN j.new_state = 'credited'
                                   THEN clock_timestamp() END
          FROM judged j
         WHERE t.tx_id = j.tx_id
           AND (j.new_state <> j.old_state OR t.started_at IS NULL)
           AND j.old_state IN
               ('received', 'awaiting_confirmations', 'unmatched')
    )
    SELECT j.tx_id, j.new_state,
           j.new_state = 'credited' AND j.old_state <> 'credited',
           j.tx_hash, j.created_at, j.enqueued_at, j.old_state <> 'received'
      FROM judged j;
END $$;
