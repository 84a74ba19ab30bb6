-- Question: which posts gain likes fastest, compared with the hours before?
-- Reads: likes_between, stored_actors
-- Writes: none
-- Grain: one row per post with min_likes or more in the last hours, fastest riser first
-- Parameters: hours = 2 (length of each of the two spans compared, hours), min_likes = 5 (likes in the last span), rows
--   = 20 (posts shown)
-- Units: rise = (likes now + 1) / (likes before + 1). On a large store, choose fewer hours
WITH counted AS (
  SELECT
    author_id, post_rkey,
    count(*) FILTER (seen_us > hours_ago(coalesce(getvariable('hours'), 2))) AS likes_now,
    count(*) FILTER (seen_us <= hours_ago(coalesce(getvariable('hours'), 2))) AS likes_before
  FROM likes_between(hours_ago(2 * coalesce(getvariable('hours'), 2)), getvariable('now_us'))
  GROUP BY author_id, post_rkey
), risen AS (
  SELECT *, (likes_now + 1) / (likes_before + 1)::DOUBLE AS rise
  FROM counted
  WHERE likes_now >= coalesce(getvariable('min_likes'), 5)
  ORDER BY rise DESC, likes_now DESC, post_rkey DESC, author_id
  LIMIT coalesce(getvariable('rows'), 20)
)
SELECT post_uri(a.did, r.post_rkey) AS post_uri, r.likes_now, r.likes_before, r.rise
FROM risen AS r
JOIN stored_actors AS a ON a.actor_id = r.author_id
ORDER BY r.rise DESC, r.likes_now DESC, r.post_rkey DESC, r.author_id;
