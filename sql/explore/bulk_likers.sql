-- Question: which accounts like most, and do they like as people do?
-- Reads: likes_between, stored_actors
-- Writes: none
-- Grain: one row per account, most likes first
-- Parameters: hours = 24.0 (hours back from now), rows = 20 (accounts shown)
-- Units: busiest_hour is the most likes in one clock hour, active_hours the clock hours with a like. On a large
--   store, choose fewer hours
WITH hourly AS (
  SELECT liker_id, seen_us // 3600000000 AS hour, count(*) AS likes
  FROM likes_between(hours_ago(coalesce(getvariable('hours'), 24.0)), getvariable('now_us'))
  GROUP BY liker_id, hour
), counted AS (
  SELECT liker_id, sum(likes)::BIGINT AS likes, max(likes) AS busiest_hour, count(*) AS active_hours
  FROM hourly
  GROUP BY liker_id
)
SELECT a.did AS actor_did, c.likes, c.busiest_hour, c.active_hours
FROM counted AS c
JOIN stored_actors AS a ON a.actor_id = c.liker_id
ORDER BY c.likes DESC, actor_did
LIMIT coalesce(getvariable('rows'), 20);
