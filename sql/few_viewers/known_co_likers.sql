-- Question: as sql/batch/co_likers.sql asks, where the likes of a few posts alone are at hand.
-- Reads: seed_likers, likes, degrees (liker_id, likes, first_us: of every liker, when all likes were read last)
-- Writes: co_likers. Grain: one row a liker of a seed post
-- Parameters: degree_exponent, degree_smoothing, newcomer_hours. One who is new since then has the likes that are at hand.

CREATE OR REPLACE TABLE co_likers AS
WITH counted AS (
  SELECT l.liker_id, count(*) AS likes, min(l.seen_us) AS first_us
  FROM likes AS l
  SEMI JOIN seed_likers AS s ON s.liker_id = l.liker_id
  GROUP BY l.liker_id
), known AS (
  SELECT c.liker_id, coalesce(d.likes, c.likes) AS likes, coalesce(d.first_us, c.first_us) AS first_us
  FROM counted AS c
  LEFT JOIN degrees AS d ON d.liker_id = c.liker_id
)
SELECT
  liker_id, likes,
  pow(likes + getvariable('degree_smoothing'), -getvariable('degree_exponent')) * newness(first_us) AS scale
FROM known;
