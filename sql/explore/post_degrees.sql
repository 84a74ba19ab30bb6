-- Question: how are likes spread over posts, and how heavy is the tail?
-- Reads: likes_between
-- Writes: none
-- Grain: one row per doubling of likers per post
-- Parameters: hours = 24.0 (hours back from now), tail_from = 20 (likers at which the power law's tail begins)
-- Units: as in liker_degrees, for posts that were liked at all. On a large store, choose fewer hours
WITH counted AS (
  SELECT author_id, post_rkey, count(*) AS likers
  FROM likes_between(hours_ago(coalesce(getvariable('hours'), 24.0)), getvariable('now_us'))
  GROUP BY author_id, post_rkey
), tail AS (
  SELECT 1 + count(*) / sum(ln(likers / (coalesce(getvariable('tail_from'), 20) - 0.5::DOUBLE))) AS exponent
  FROM counted
  WHERE likers >= coalesce(getvariable('tail_from'), 20)
)
SELECT
  pow(2, floor(log2(likers)))::BIGINT AS likers_from,
  (pow(2, floor(log2(likers)) + 1) - 1)::BIGINT AS likers_to,
  count(*) AS posts, sum(likers)::BIGINT AS likes,
  sum(likers) / (SELECT sum(likers) FROM counted)::DOUBLE AS like_share,
  (SELECT exponent FROM tail) AS tail_exponent
FROM counted
GROUP BY 1, 2
ORDER BY 1;
