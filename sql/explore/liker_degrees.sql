-- Question: how are likes spread over people, and how heavy is the tail?
-- Reads: likes_between
-- Writes: none
-- Grain: one row per doubling of likes per liker
-- Parameters: hours = 24.0 (hours back from now), tail_from = 20 (likes at which the power law's tail begins)
-- Units: like_share is of all likes; tail_exponent is the maximum-likelihood exponent of the number of likers with at
--   least tail_from likes (the same in every row): P(likes) ~ likes ^ -exponent. On a large store, choose fewer hours
WITH counted AS (
  SELECT liker_id, count(*) AS likes
  FROM likes_between(hours_ago(coalesce(getvariable('hours'), 24.0)), getvariable('now_us'))
  GROUP BY liker_id
), tail AS (
  SELECT 1 + count(*) / sum(ln(likes / (coalesce(getvariable('tail_from'), 20) - 0.5::DOUBLE))) AS exponent
  FROM counted
  WHERE likes >= coalesce(getvariable('tail_from'), 20)
)
SELECT
  pow(2, floor(log2(likes)))::BIGINT AS likes_from, (pow(2, floor(log2(likes)) + 1) - 1)::BIGINT AS likes_to,
  count(*) AS likers, sum(likes)::BIGINT AS likes,
  sum(likes) / (SELECT sum(likes) FROM counted)::DOUBLE AS like_share,
  (SELECT exponent FROM tail) AS tail_exponent
FROM counted
GROUP BY 1, 2
ORDER BY 1;
