-- Question: which likes of a closed day go to the lake?
-- Reads: day_likes (the day's rows of landing.sqlite), deleted_accounts (actor_id, deleted_us)
-- Writes: day
-- Grain: one row per like record
-- Parameters: none
-- Units: seen_us and deleted_us are microseconds since 1970 (UTC)
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE TABLE day AS
SELECT
  l.liker_id::INTEGER AS liker_id, l.rkey::BIGINT AS rkey, l.author_id::INTEGER AS author_id,
  l.post_rkey::BIGINT AS post_rkey, l.seen_us::BIGINT AS seen_us
FROM day_likes AS l
ANTI JOIN deleted_accounts AS d ON d.actor_id = l.liker_id AND d.deleted_us >= l.seen_us;
