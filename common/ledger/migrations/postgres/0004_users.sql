-- Makes a user, or finds the one whose telegram id, name or id it is. Deposits
-- that waited for a new user become due for the sweeper.
CREATE FUNCTION register_user(p_id uuid, p_telegram_id bigint, p_username text)
RETURNS TABLE (user_id uuid, created boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO users (id, telegram_id, username)
    VALUES (p_id, p_telegram_id, p_username) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        UPDATE transactions SET next_enqueue_at = now()
         WHERE user_id = p_id AND state = 'unmatched';
        RETURN QUERY SELECT p_id, true;
        RETURN;
    END IF;
    -- A new statement: it sees whoever won a race for the name.
    RETURN QUERY
    SELECT u.id, false FROM users u
     WHERE u.telegram_id = p_telegram_id OR u.username = p_username
        OR u.id = p_id
     ORDER BY (u.telegram_id IS NOT DISTINCT FROM p_telegram_id) DESC LIMIT 1;
END $$;
