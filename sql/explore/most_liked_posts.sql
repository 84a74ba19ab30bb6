-- Question: which posts were liked most in the last hours?
-- Reads: likes_between, stored_actors
-- Writes: none
-- Grain: one row per post, most liked first; a tie goes to the newer rkey
-- Parameters: hours = 24 (hours back from now), rows = 20 (posts shown)
-- Units: likes are distinct likers in the span; seen_first is the time of the first, UTC. On a large store, choose
--   fewer hours
WITH counted AS (
  SELECT author_id, post_rkey, count(*) AS likes, min(seen_us) AS first_us
  FROM likes_between(hours_ago(coalesce(getvariable('hours'), 24)), getvariable('now_us'))
  GROUP BY author_id, post_rkey
  ORDER BY likes DESC, post_rkey DESC, author_id
  LIMIT coalesce(getvariable('rows'), 20)
)
SELECT post_uri(a.did, c.post_rkey) AS post_uri, c.likes, make_timestamp(c.first_us) AS seen_first
FROM counted AS c
JOIN stored_actors AS a ON a.actor_id = c.author_id
ORDER BY c.likes DESC, c.post_rkey DESC, c.author_id;
