-- Question: who may become a neighbour, and by how much are those who like everything held back?
-- Reads: seed_likers, likes
-- Writes: co_likers
-- Grain: one row a liker of a seed post
-- Parameters: degree_exponent, degree_smoothing
-- Units: scale = (likes in the window + smoothing) ^ -degree_exponent * newness of the first of them

CREATE OR REPLACE TABLE co_likers AS
WITH counted AS (
  SELECT l.liker_id, count(*) AS likes, min(l.seen_us) AS first_us
  FROM likes AS l
  SEMI JOIN seed_likers AS s ON s.liker_id = l.liker_id
  GROUP BY l.liker_id
)
SELECT
  liker_id, likes,
  pow(likes + getvariable('degree_smoothing'), -getvariable('degree_exponent')) * newness(first_us) AS scale
FROM counted;
