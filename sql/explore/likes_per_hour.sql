-- Question: how many likes came in each hour, from how many people, on how many posts?
-- Reads: likes_between
-- Writes: none
-- Grain: one row per hour with likes, oldest first
-- Parameters: hours = 48 (hours back from now)
-- Units: hour is the hour's start, UTC; the first and the last hour may be parts
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
SELECT p.hour, sum(p.likes)::BIGINT AS likes, any_value(l.likers) AS likers, count(*) AS posts
FROM by_post AS p
JOIN likers AS l ON l.hour = p.hour
GROUP BY p.hour
ORDER BY p.hour;
