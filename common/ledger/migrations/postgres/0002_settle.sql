-- Settlement, set-based and whole: SELECT * FROM settle_deposits(ARRAY[...]).
--
-- Locks deposits by id, then wallets by user id and currency. Every statement
-- of the function sees what was committed before it began, so the second one
-- reads the rows as they are once the locks are held. Ids that are unknown are
-- absent from the result.

CREATE FUNCTION settle_deposits(ids uuid[])
RETURNS TABLE (tx_id uuid, state text, credited_now boolean, tx_hash text,
               created_at timestamptz, enqueued_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM transactions t
     WHERE t.tx_id = ANY (ids) ORDER BY t.tx_id FOR UPDATE;

    RETURN QUERY
    WITH judged AS (
        SELECT t.tx_id, t.user_id, t.currency, t.amount, t.tx_hash,
               t.confirmations, t.created_at, t.enqueued_at,
               t.state AS old_state,
               CASE WHEN t.state NOT IN
                         ('received', 'awaiting_confirmations', 'unmatched')
                    THEN t.state
                    WHEN t.confirmations < t.confirmations_required
                    THEN 'awaiting_confirmations'
                    WHEN u.id IS NULL THEN 'unmatched'
                    ELSE 'credited' END AS new_state
          FROM transactions t
          LEFT JOIN users u ON u.id = t.user_id
         WHERE t.tx_id = ANY (ids)
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
           j.tx_hash, j.created_at, j.enqueued_at
      FROM judged j;
END $$;
