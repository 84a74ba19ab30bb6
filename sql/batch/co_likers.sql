-- Question: who may become a neighbour, and how much is each held back for liking many posts?
-- Reads: seed_likers, likes, degrees, first_reported
-- Writes: co_likers
-- Grain: one row per liker of a seed post
-- Parameters: snapshot_us, newcomer_hours, degree_exponent, degree_smoothing
-- Units: scale = (likes + degree_smoothing) ^ -degree_exponent * newness of the first of them
--   that was reported
-- Columns: liker_id, likes, scale
CREATE OR REPLACE TABLE co_likers AS
WITH counted AS (
  SELECT l.liker_id, count(*) AS likes, min(l.seen_us) AS first_us
  FROM likes AS l
  SEMI JOIN seed_likers AS s ON s.liker_id = l.liker_id
  GROUP BY l.liker_id
), known AS (
  SELECT
    c.liker_id, coalesce(d.likes, c.likes) AS likes, coalesce(d.first_us, r.first_us, c.first_us) AS first_us
  FROM counted AS c
  LEFT JOIN degrees AS d ON d.liker_id = c.liker_id
  LEFT JOIN first_reported AS r ON r.liker_id = c.liker_id
)
SELECT
  liker_id, likes,
  pow(likes + getvariable('degree_smoothing'), -getvariable('degree_exponent')) * newness(first_us) AS scale
FROM known;
