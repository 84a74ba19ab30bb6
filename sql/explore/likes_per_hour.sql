-- Question: how many likes came in each hour, from how many people, on how many posts?
-- Reads: likes_between
-- Grain: one row an hour with likes, oldest first
-- Parameters: hours = 48 (hours back from now)
-- Units: hour is the hour's start, UTC; the first and the last hour may be parts

SELECT
  time_bucket(INTERVAL 1 HOUR, make_timestamp(seen_us)) AS hour,
  count(*) AS likes,
  count(DISTINCT liker_id) AS likers,
  count(DISTINCT (author_id, post_rkey)) AS posts
FROM likes_between(hours_ago(coalesce(getvariable('hours'), 48)), getvariable('now_us'))
GROUP BY hour
ORDER BY hour;
