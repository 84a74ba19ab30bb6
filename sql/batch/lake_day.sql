-- Question: which likes of a closed day are worth keeping?
-- Reads: arrived (the day's likes as in landing.sqlite), gone (its unlikes)
-- Writes: day
-- Grain: one row a like record that is not undone
-- Parameters: none
-- Units: seen_us is microseconds since 1970 (UTC)

CREATE OR REPLACE TABLE day AS
SELECT
  l.liker_id::INTEGER AS liker_id, l.rkey::BIGINT AS rkey, l.author_id::INTEGER AS author_id,
  l.post_rkey::BIGINT AS post_rkey, l.seen_us::BIGINT AS seen_us
FROM arrived AS l
ANTI JOIN gone AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seen_us >= l.seen_us;
