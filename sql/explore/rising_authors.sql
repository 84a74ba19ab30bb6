-- Question: which authors are on the rise: liked by more people than in the span before?
-- Reads: like_records_between, stored_actors
-- Writes: none
-- Grain: one row per author with min_likers or more in the last span, fastest riser first
-- Parameters: hours = 24 (length of each of the two spans compared, hours), min_likers = 5 (likers in the last span),
--   rows = 20 (authors shown)
-- Units: likers are distinct people who liked any post of the author in that span; rise = (likers now + 1) / (before + 1). On a
--   large store, choose fewer hours
WITH liked AS (
  SELECT
    author_id, liker_id,
    bool_or(seen_us > hours_ago(coalesce(getvariable('hours'), 24))) AS now,
    bool_or(seen_us <= hours_ago(coalesce(getvariable('hours'), 24))) AS before
  FROM like_records_between(hours_ago(2 * coalesce(getvariable('hours'), 24)), getvariable('now_us'))
  GROUP BY author_id, liker_id
), counted AS (
  SELECT author_id, count(*) FILTER (now) AS likers_now, count(*) FILTER (before) AS likers_before
  FROM liked
  GROUP BY author_id
)
SELECT
  a.did AS author_did, c.likers_now, c.likers_before,
  (c.likers_now + 1) / (c.likers_before + 1)::DOUBLE AS rise
FROM counted AS c
JOIN stored_actors AS a ON a.actor_id = c.author_id
WHERE c.likers_now >= coalesce(getvariable('min_likers'), 5)
ORDER BY rise DESC, c.likers_now DESC, author_did
LIMIT coalesce(getvariable('rows'), 20);
