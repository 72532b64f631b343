-- User names are unique without regard to case (ASCII letters, which are what
-- lower() folds: others are not accepted any more, and old ones that have some
-- compare as they are).
--
-- Names that collide today stay as they are: the oldest has the key, the others
-- have none and a line in the audit log. A new user cannot take any of them.

ALTER TABLE users ADD COLUMN username_key TEXT;

UPDATE users SET username_key = lower(username)
 WHERE username IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM users o
                    WHERE lower(o.username) = lower(users.username)
                      AND (o.created_at, o.id) < (users.created_at, users.id));

INSERT INTO audit_log (action, user_id, details, created_at)
SELECT 'username_collides', u.id,
       json_object('username', u.username, 'with_user_id', k.id,
                   'with_username', k.username),
       CAST(strftime('%s', 'now') AS INTEGER) * 1000000
  FROM users u JOIN users k ON k.username_key = lower(u.username)
 WHERE u.username IS NOT NULL AND u.username_key IS NULL
 ORDER BY u.created_at, u.id;

CREATE UNIQUE INDEX uq_users_username_key ON users (username_key);

-- What is written to find out whether a write would succeed.
CREATE TABLE write_probe (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    at       INTEGER NOT NULL
);
INSERT INTO write_probe (only_row, at) VALUES (1, 0);
