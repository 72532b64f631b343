-- What the ledger tells of itself to monitoring.

-- settle_deposits() that also tells whether a deposit had been set aside before
-- (confirmations, a user): its delay is not the service's.
CREATE FUNCTION settle_deposits_told(ids uuid[])
RETURNS TABLE (tx_id uuid, state text, credited_now boolean, tx_hash text,
               created_at timestamptz, enqueued_at timestamptz,
               waited boolean)
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
           j.tx_hash, j.created_at, j.enqueued_at, j.old_state <> 'received'
      FROM judged j;
END $$;

-- The one that others call keeps its shape.
CREATE OR REPLACE FUNCTION settle_deposits(ids uuid[])
RETURNS TABLE (tx_id uuid, state text, credited_now boolean, tx_hash text,
               created_at timestamptz, enqueued_at timestamptz)
LANGUAGE sql AS $$
    SELECT tx_id, state, credited_now, tx_hash, created_at, enqueued_at
      FROM settle_deposits_told(ids);
$$;

-- The books are compared all the time, a slice of rows at a time: every wallet
-- with its journal, every deposit with its credit line. One row keeps where the
-- pass is and what it found; whoever locks it does the next slice.
CREATE TABLE ledger_audit (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    at_wallets    boolean NOT NULL DEFAULT true, -- or at deposits
    after_id      uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    after_currency text NOT NULL DEFAULT '',
    wallets_off   bigint NOT NULL DEFAULT 0, -- of the pass under way
    credits_off   bigint NOT NULL DEFAULT 0,
    last_wallets_off bigint NOT NULL DEFAULT 0, -- of the last whole one
    last_credits_off bigint NOT NULL DEFAULT 0,
    passes        bigint NOT NULL DEFAULT 0,
    finished_at   timestamptz,
    due_at        timestamptz NOT NULL DEFAULT now()
);
INSERT INTO ledger_audit DEFAULT VALUES;

CREATE FUNCTION audit_slice(p_rows integer, p_pause double precision)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a ledger_audit;
    seen bigint;
    off bigint;
    last_id uuid;
    last_currency text;
BEGIN
    SELECT * INTO a FROM ledger_audit WHERE due_at <= now()
       FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF a.at_wallets THEN
        WITH slice AS (
            SELECT w.user_id, w.currency,
                   w.deposit_balance + w.winning_balance + w.bonus_balance
                       AS total
              FROM wallets w
             WHERE (w.user_id, w.currency) > (a.after_id, a.after_currency)
             ORDER BY w.user_id, w.currency LIMIT p_rows
        ), compared AS (
            SELECT s.user_id, s.currency, s.total <> COALESCE(
                       (SELECT sum(j.amount) FROM journal j
                         WHERE j.user_id = s.user_id
                           AND j.currency = s.currency), 0) AS differs
              FROM slice s
        )
        SELECT count(*), count(*) FILTER (WHERE differs),
               (array_agg(user_id ORDER BY user_id DESC, currency DESC))[1],
               (array_agg(currency ORDER BY user_id DESC, currency DESC))[1]
          INTO seen, off, last_id, last_currency FROM compared;
        a.wallets_off := a.wallets_off + off;
    ELSE
        WITH slice AS (
            SELECT t.tx_id, t.state, t.amount, t.user_id, t.currency
              FROM transactions t WHERE t.tx_id > a.after_id
             ORDER BY t.tx_id LIMIT p_rows
        ), compared AS (
            SELECT s.tx_id, s.state <> 'reversed'
                   AND (s.state = 'credited') <> COALESCE(j.amount = s.amount
                        AND j.user_id = s.user_id AND w.user_id IS NOT NULL,
                        false)
                   OR s.state NOT IN ('credited', 'reversed')
                      AND j.amount IS NOT NULL AS differs
              FROM slice s
              LEFT JOIN journal j ON j.transaction_id = s.tx_id
                                 AND j.kind = 'deposit_credit'
              LEFT JOIN wallets w ON w.user_id = j.user_id
                                 AND w.currency = s.currency
        )
        SELECT count(*), count(*) FILTER (WHERE differs),
               (array_agg(tx_id ORDER BY tx_id DESC))[1], ''
          INTO seen, off, last_id, last_currency FROM compared;
        a.credits_off := a.credits_off + off;
    END IF;

    IF seen = p_rows THEN
        UPDATE ledger_audit SET after_id = last_id,
               after_currency = last_currency, wallets_off = a.wallets_off,
               credits_off = a.credits_off, due_at = clock_timestamp()
                   + 20 * (clock_timestamp() - now());
    ELSIF a.at_wallets THEN
        UPDATE ledger_audit SET at_wallets = false, after_id = DEFAULT,
               after_currency = '', wallets_off = a.wallets_off;
    ELSE
        UPDATE ledger_audit SET at_wallets = true, after_id = DEFAULT,
               wallets_off = 0, credits_off = 0,
               last_wallets_off = a.wallets_off,
               last_credits_off = a.credits_off, passes = passes + 1,
               finished_at = now(),
               due_at = now() + p_pause * interval '1 second';
    END IF;
END $$;
