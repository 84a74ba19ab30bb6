-- Question: which likes does a day of history hold?
-- Reads: spooled_rows (witnessed on the day), dated_rows (by the day in their rkey, witnessed then or later),
--   later_rows (witnessed on later days that are not made), void_accounts (actors whose rows up to a seq are void), deleted_accounts
-- Writes: day_likes, last_unlikes, repeated_likes, day
-- Grain: one row per like record that counts, in day as sql/lake/stored_rows.sql reads it
-- Parameters: day (days since 1970)
-- Units: seq is the archive's own count, rising with time; kind 1 is a like, 2 an unlike; seen_us is microseconds since
--   1970 (UTC)
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE VIEW day_likes AS
SELECT seq, liker_id, rkey, author_id, post_rkey, seen_us FROM spooled_rows WHERE kind = 1
UNION ALL
SELECT seq, liker_id, rkey, author_id, post_rkey, seen_us FROM dated_rows
WHERE kind = 1 AND day = getvariable('day');

-- A like is witnessed on the day in its rkey or the day after, unless the rkey was of the future then. 88473600000000:
-- a day of microseconds, shifted like the time in a TID.
CREATE OR REPLACE TABLE last_unlikes AS
SELECT liker_id, rkey, max(seq) AS seq
FROM (
  SELECT liker_id, rkey, seq FROM (FROM spooled_rows UNION ALL FROM later_rows) WHERE kind = 2
  UNION ALL
  SELECT liker_id, rkey, seq FROM dated_rows
  WHERE kind = 2 AND day BETWEEN getvariable('day') - 1 AND getvariable('day')
  UNION ALL
  SELECT liker_id, rkey, seq FROM dated_rows
  WHERE kind = 2 AND day > getvariable('day')
    AND day IN (SELECT rkey // 88473600000000 FROM spooled_rows WHERE kind = 1 AND (rkey >> 10) > seen_us)
)
GROUP BY liker_id, rkey;

-- The archive delivers at least once. The last of several copies counts.
CREATE OR REPLACE TABLE repeated_likes AS
SELECT liker_id, rkey, max(seq) AS seq
FROM day_likes
GROUP BY liker_id, rkey
HAVING count(*) > 1;

CREATE OR REPLACE VIEW day AS
SELECT liker_id, rkey, author_id, post_rkey, seen_us
FROM day_likes AS l
ANTI JOIN last_unlikes AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seq > l.seq
ANTI JOIN repeated_likes AS r ON r.liker_id = l.liker_id AND r.rkey = l.rkey AND r.seq > l.seq
ANTI JOIN void_accounts AS v ON v.actor_id = l.liker_id AND v.seq > l.seq
ANTI JOIN deleted_accounts AS d ON d.actor_id = l.liker_id AND d.deleted_us >= l.seen_us;
