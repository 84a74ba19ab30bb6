-- Question: which likes does a day of history hold?
-- Reads: arrived, undone, repeated, gone (actors whose rows up to a seq are void), deleted (accounts, and when)
-- Writes: nothing (view day, as sql/lake/stored_rows.sql wants it)
-- Grain: one row a like record that is not undone
-- Parameters: none
-- Units: seen_us is microseconds since 1970 (UTC)

CREATE OR REPLACE VIEW day AS
SELECT liker_id, rkey, author_id, post_rkey, seen_us
FROM arrived AS l
ANTI JOIN undone AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seq > l.seq
ANTI JOIN repeated AS r ON r.liker_id = l.liker_id AND r.rkey = l.rkey AND r.seq > l.seq
ANTI JOIN gone AS g ON g.actor_id = l.liker_id AND g.seq > l.seq
ANTI JOIN deleted AS d ON d.actor_id = l.liker_id AND d.deleted_us >= l.seen_us;
