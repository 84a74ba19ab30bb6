-- Question: which authors are liked mostly by accounts that like hardly anybody else (suspicious rings)?
-- Reads: likes_between, stored_actors
-- Writes: none
-- Grain: one row per author with min_likers or more, most devoted likers first
-- Parameters: hours = 24.0 (hours back from now), min_likers = 5 (likers of the author), min_likes = 3 (likes of an
--   account to be judged), share = 0.5 (of an account's likes on one author, to be devoted), rows = 20 (authors shown)
-- Units: devoted likers give the author that share of their likes; mutual likers were liked back by the author;
--   devoted_share = devoted / likers. On a large store, choose fewer hours
WITH pairs AS (
  SELECT liker_id, author_id, count(*) AS likes
  FROM likes_between(hours_ago(coalesce(getvariable('hours'), 24.0)), getvariable('now_us'))
  GROUP BY liker_id, author_id
), totals AS (
  SELECT liker_id, sum(likes) AS likes FROM pairs GROUP BY liker_id
), judged AS (
  SELECT
    p.author_id,
    t.likes >= coalesce(getvariable('min_likes'), 3)
      AND p.likes >= t.likes * coalesce(getvariable('share'), 0.5) AS devoted,
    b.liker_id IS NOT NULL AS mutual
  FROM pairs AS p
  JOIN totals AS t ON t.liker_id = p.liker_id
  LEFT JOIN pairs AS b ON b.liker_id = p.author_id AND b.author_id = p.liker_id
), counted AS (
  SELECT author_id, count(*) AS likers, count(*) FILTER (devoted) AS devoted, count(*) FILTER (mutual) AS mutual
  FROM judged
  GROUP BY author_id
  HAVING count(*) >= coalesce(getvariable('min_likers'), 5)
)
SELECT
  a.did AS author_did, c.likers, c.devoted, c.mutual, c.devoted / c.likers::DOUBLE AS devoted_share,
  c.mutual / c.likers::DOUBLE AS mutual_share
FROM counted AS c
JOIN stored_actors AS a ON a.actor_id = c.author_id
ORDER BY devoted_share DESC, mutual_share DESC, c.likers DESC, author_did
LIMIT coalesce(getvariable('rows'), 20);
