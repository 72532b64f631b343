-- User names are unique without regard to case (ASCII letters: others are not
-- accepted any more, and old ones that have some compare as they are).
--
-- Names that collide today stay as they are: the oldest has the key, the others
-- have none and a line in the audit log. A new user cannot take any of them.

ALTER TABLE users ADD COLUMN username_key text;

UPDATE users u
   SET username_key = lower(u.username COLLATE "C")
  FROM (SELECT id, row_number() OVER (PARTITION BY lower(username COLLATE "C")
                                      ORDER BY created_at, id) AS place
          FROM users WHERE username IS NOT NULL) AS o
 WHERE o.id = u.id AND o.place = 1;

INSERT INTO audit_log (action, user_id, details)
SELECT 'username_collides', u.id,
       jsonb_build_object('username', u.username, 'with_user_id', k.id,
                          'with_username', k.username)
  FROM users u
  JOIN users k ON k.username_key = lower(u.username COLLATE "C")
 WHERE u.username IS NOT NULL AND u.username_key IS NULL
 ORDER BY u.created_at, u.id;

CREATE UNIQUE INDEX uq_users_username_key ON users (username_key);

-- Makes a user, or finds the one whose telegram id, name or id it is. Deposits
-- that waited for a new user become due for the sweeper.
CREATE OR REPLACE FUNCTION register_user(p_id uuid, p_telegram_id bigint,
                                         p_username text)
RETURNS TABLE (user_id uuid, created boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    key text := lower(p_username COLLATE "C");
BEGIN
    INSERT INTO users (id, telegram_id, username, username_key)
    VALUES (p_id, p_telegram_id, p_username, key) ON CONFLICT DO NOTHING;
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
        OR u.username_key = key OR u.id = p_id
     ORDER BY (u.telegram_id IS NOT DISTINCT FROM p_telegram_id) DESC,
              (u.username IS NOT DISTINCT FROM p_username) DESC,
              (u.username_key IS NOT DISTINCT FROM key) DESC
     LIMIT 1;
END $$;
