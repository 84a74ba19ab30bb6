-- Question: how many likes came in each hour, from how many people, on how many posts?
-- Reads: likes_between, gaps
-- Writes: none
-- Grain: one row per hour with likes, oldest first
-- Parameters: hours = 48 (hours back from now)
-- Units: hour is the hour's start, UTC; partial hours have fewer likes than came: the span or the store begins in it,
--   it is not over, or a gap of the stream that no backfill brought touches it. On a large store, choose fewer hours
WITH stamped AS (
  SELECT seen_us // 3600000000 AS hour_no, liker_id, author_id, post_rkey
  FROM likes_between(hours_ago(coalesce(getvariable('hours'), 48)), getvariable('now_us'))
), by_post AS (
  SELECT hour_no, count(*) AS likes FROM stamped GROUP BY hour_no, author_id, post_rkey
), by_liker AS (  -- a bit an hour, sixty hours a row: few rows stay in the processor's caches
  SELECT hour_no // 60 AS block, bit_or(1::BIGINT << (hour_no % 60)) AS hours FROM stamped GROUP BY block, liker_id
), likers AS (
  SELECT b.block * 60 + h.bit AS hour_no, sum(b.likers)::BIGINT AS likers
  FROM (SELECT block, hours, count(*) AS likers FROM by_liker GROUP BY block, hours) AS b
  CROSS JOIN (SELECT range AS bit FROM range(60)) AS h
  WHERE b.hours >> h.bit & 1 = 1
  GROUP BY hour_no
), hourly AS (
  -- Groups, since these spill to the disk where distinct counts must stay in memory.
  SELECT hour_no, sum(likes)::BIGINT AS likes, count(*) AS posts FROM by_post GROUP BY hour_no
), named AS (
  SELECT make_timestamp(h.hour_no * 3600000000) AS hour, h.likes, l.likers, h.posts
  FROM hourly AS h
  JOIN likers AS l ON l.hour_no = h.hour_no
)
SELECT
  p.hour, p.likes, p.likers, p.posts,
  is_partial(p.hour = min(p.hour) OVER (), p.hour + INTERVAL 1 HOUR)
    OR EXISTS (
      FROM gaps AS g
      WHERE g.healed_at IS NULL AND g.from_at < p.hour + INTERVAL 1 HOUR AND g.to_at > p.hour) AS partial
FROM named AS p
ORDER BY p.hour;
