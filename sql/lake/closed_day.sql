-- Question: which likes of a closed day are worth keeping?
-- Reads: arrived (the day's likes), departed (accounts that were deleted, and up to when their likes are hidden_accounts)
-- Writes: day
-- Grain: one row a like record
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)

CREATE OR REPLACE TABLE day AS
SELECT
  l.liker_id::INTEGER AS liker_id, l.rkey::BIGINT AS rkey, l.author_id::INTEGER AS author_id,
  l.post_rkey::BIGINT AS post_rkey, l.seen_us::BIGINT AS seen_us
FROM arrived AS l
ANTI JOIN departed AS d ON d.actor_id = l.liker_id AND d.deleted_us >= l.seen_us;
