-- Question: how many likes came in each hour, from how many people, on how many posts?
-- Reads: likes_between, gaps
-- Writes: none
-- Grain: one row per hour with likes, oldest first
-- Parameters: hours = 48 (hours back from now)
-- Units: hour is the hour's start, UTC; partial hours have fewer likes than came: the span or the store begins in it, it
--   is not over, or a gap of the stream that no backfill brought touches it
WITH stamped AS (
  SELECT time_bucket(INTERVAL 1 HOUR, make_timestamp(seen_us)) AS hour, liker_id, author_id, post_rkey
  FROM likes_between(hours_ago(coalesce(getvariable('hours'), 48)), getvariable('now_us'))
), by_post AS (
  SELECT hour, count(*) AS likes FROM stamped GROUP BY hour, author_id, post_rkey
), by_liker AS (
  SELECT DISTINCT hour, liker_id FROM stamped
), likers AS (
  SELECT hour, count(*) AS likers FROM by_liker GROUP BY hour
)
-- Groups, since these spill to the disk where distinct counts must stay in memory.
SELECT
  p.hour, sum(p.likes)::BIGINT AS likes, any_value(l.likers) AS likers, count(*) AS posts,
  is_partial(p.hour = min(p.hour) OVER (), p.hour + INTERVAL 1 HOUR)
    OR EXISTS (
      FROM gaps AS g
      WHERE g.healed_at IS NULL AND g.from_at < p.hour + INTERVAL 1 HOUR AND g.to_at > p.hour) AS partial
FROM by_post AS p
JOIN likers AS l ON l.hour = p.hour
GROUP BY p.hour
ORDER BY p.hour;
