-- Deposits in, and the two sides of the queue of record.

-- One batch of webhooks. Arrays of one length; keys differ within a batch and
-- come sorted, so two batches cannot wait for each other in a circle. Answers
-- a row for each: given_id is p_tx_id's, tx_id the ledger's.
CREATE FUNCTION ingest_deposits(
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
    added bigint;
    d record;
BEGIN
    RETURN QUERY
    INSERT INTO transactions AS t (tx_id, chain, tx_hash, log_index, amount,
        currency, state, user_id, confirmations, confirmations_required,
        block_number, to_address, provider_status, conflict_reason, metadata,
        raw_body, traceparent)
    SELECT i.tx_id, i.chain, i.tx_hash, i.log_index, i.amount::numeric,
           i.currency,
           CASE WHEN i.conflict_reason IS NULL THEN 'received'
                ELSE 'conflict' END,
           i.user_id, i.confirmations, i.required, i.block_number,
           i.to_address, i.provider_status, i.conflict_reason, i.metadata,
           i.raw_body, i.traceparent
      FROM unnest(p_tx_id, p_chain, p_tx_hash, p_log_index, p_amount,
                  p_currency, p_user_id, p_confirmations, p_required,
                  p_block_number, p_to_address, p_provider_status,
                  p_conflict_reason, p_metadata, p_raw_body, p_traceparent)
           AS i (tx_id, chain, tx_hash, log_index, amount, currency, user_id,
                 confirmations, required, block_number, to_address,
                 provider_status, conflict_reason, metadata, raw_body,
                 traceparent)
    ON CONFLICT ON CONSTRAINT uq_transactions_key DO NOTHING
    RETURNING t.tx_id, t.tx_id, 'new'::text, t.state, t.state = 'received',
              t.traceparent;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added = cardinality(p_tx_id) THEN
        RETURN;
    END IF;

    -- With nothing added, a row that bears the given id is from an earlier try
    -- of the same batch whose answer was lost.
    FOR d IN
        SELECT i.*, t.tx_id AS known_id, t.state, t.user_id AS known_user,
               t.confirmations AS known_confirmations,
               t.confirmations_required AS known_required,
               t.next_enqueue_at, t.traceparent AS known_trace,
               t.amount AS known_amount, t.currency AS known_currency
          FROM unnest(p_tx_id, p_chain, p_tx_hash, p_log_index, p_amount,
                      p_currency, p_user_id, p_confirmations,
                      p_conflict_reason)
               AS i (new_id, chain, tx_hash, log_index, amount, currency,
                     user_id, confirmations, conflict_reason)
          JOIN transactions t USING (chain, tx_hash, log_index)
         WHERE t.tx_id <> i.new_id OR added = 0
         ORDER BY t.tx_id
           FOR UPDATE OF t
    LOOP
        given_id := d.new_id;
        tx_id := d.known_id;
        state := d.state;
        traceparent := d.known_trace;
        publish := false;
        IF d.known_amount <> d.amount::numeric
           OR d.known_currency <> d.currency
           OR d.known_user <> d.user_id THEN
            result := 'differs';
            INSERT INTO audit_log (action, transaction_id, user_id, details)
            VALUES ('deposit_differs', d.known_id, d.known_user,
                    jsonb_build_object('amount', d.amount,
                        'currency', d.currency, 'user_id', d.user_id));
        ELSIF d.conflict_reason IS NOT NULL THEN
            -- What was announced is taken back: it is not credited any more; if
            -- it was, somebody has to look.
            IF d.state IN ('received', 'unmatched', 'awaiting_confirmations')
            THEN
                UPDATE transactions t
                   SET state = 'conflict',
                       conflict_reason = d.conflict_reason
                 WHERE t.tx_id = d.known_id;
                state := 'conflict';
            END IF;
            result := CASE WHEN d.state = 'conflict' THEN 'duplicate'
                           ELSE 'differs' END;
            IF d.state <> 'conflict' THEN
                INSERT INTO audit_log (action, transaction_id, user_id, details)
                VALUES ('deposit_contradicted', d.known_id, d.known_user,
                        jsonb_build_object('reason', d.conflict_reason,
                                           'state', d.state));
            END IF;
        ELSE
            result := 'duplicate';
            publish :=
                (d.state = 'received' AND d.next_enqueue_at IS NULL)
                OR (d.state = 'awaiting_confirmations'
                    AND d.known_confirmations < d.known_required
                    AND d.confirmations >= d.known_required)
                OR (d.state = 'unmatched' AND d.known_user IS NULL
                    AND d.user_id IS NOT NULL);
            UPDATE transactions t
               SET confirmations = GREATEST(t.confirmations, d.confirmations),
                   user_id = CASE WHEN t.state IN ('received', 'unmatched',
                                       'awaiting_confirmations')
                                  THEN COALESCE(t.user_id, d.user_id)
                                  ELSE t.user_id END,
                   next_enqueue_at = CASE WHEN publish
                                           AND t.state <> 'received'
                                          THEN now()
                                          ELSE t.next_enqueue_at END
             WHERE t.tx_id = d.known_id
               AND (d.confirmations > t.confirmations OR publish
                    OR (t.user_id IS NULL AND d.user_id IS NOT NULL));
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- first_s * 2^n, at most cap_s, n publishes so far.
CREATE FUNCTION enqueue_pause(n integer, first_s double precision,
                              cap_s double precision)
RETURNS interval LANGUAGE sql IMMUTABLE AS $$
    SELECT make_interval(secs => LEAST(cap_s, first_s * power(2, LEAST(n, 30))))
$$;

-- ids come sorted: the rows are updated in that order, so that locking them
-- first, which would write each row twice, is not needed.
CREATE FUNCTION mark_enqueued(ids uuid[], first_s double precision,
                              cap_s double precision)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE transactions t
       SET enqueued_at = clock_timestamp(),
           enqueue_count = t.enqueue_count + 1,
           next_enqueue_at = clock_timestamp()
                             + enqueue_pause(t.enqueue_count, first_s, cap_s)
      FROM unnest(ids) AS i (id)
     WHERE t.tx_id = i.id;
END $$;

-- The rows that are due, taken from other sweepers by moving their time.
CREATE FUNCTION sweep_deposits(grace_s double precision,
                               first_s double precision,
                               cap_s double precision, max_rows bigint)
RETURNS TABLE (tx_id uuid, tx_hash text, traceparent text, was_first boolean)
LANGUAGE sql AS $$
    WITH open AS (
        SELECT t.tx_id FROM transactions t
         WHERE (t.state = 'received'
                OR (t.state = 'awaiting_confirmations'
                    AND t.confirmations >= t.confirmations_required))
           AND COALESCE(t.next_enqueue_at, t.created_at) <= now()
           AND (t.next_enqueue_at IS NOT NULL
                OR t.created_at <= now() - make_interval(secs => grace_s))
         ORDER BY COALESCE(t.next_enqueue_at, t.created_at)
         LIMIT max_rows
           FOR UPDATE OF t SKIP LOCKED
    ), attributed AS (
        SELECT t.tx_id FROM transactions t
         WHERE t.state = 'unmatched'
           AND COALESCE(t.next_enqueue_at, t.created_at) <= now()
           AND EXISTS (SELECT 1 FROM users u WHERE u.id = t.user_id)
         LIMIT max_rows
           FOR UPDATE OF t SKIP LOCKED
    ), due AS (
        SELECT * FROM open UNION ALL SELECT * FROM attributed LIMIT max_rows
    )
    UPDATE transactions t
       SET next_enqueue_at = now()
                             + enqueue_pause(t.enqueue_count, first_s, cap_s)
      FROM due
     WHERE t.tx_id = due.tx_id
    RETURNING t.tx_id, t.tx_hash, t.traceparent, t.enqueue_count = 0
$$;
