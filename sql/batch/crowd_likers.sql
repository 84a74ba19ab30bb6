-- Question: how much attention does each liker have to give to what is popular?
-- Reads: fresh_likes, likes
-- Writes: crowd_likers
-- Grain: one row a liker of candidate posts
-- Parameters: fallback_smoothing
-- Units: worth = newness of their first like at hand / sqrt(their fresh likes + smoothing), so bulk likers count less,
--   and accounts that were just made next to nothing

CREATE OR REPLACE TABLE crowd_likers AS
WITH fresh AS (
  SELECT liker_id, count(*) AS likes FROM fresh_likes GROUP BY liker_id
), first AS (
  SELECT l.liker_id, min(l.seen_us) AS first_us
  FROM likes AS l
  SEMI JOIN fresh AS f ON f.liker_id = l.liker_id
  GROUP BY l.liker_id
)
SELECT f.liker_id, newness(i.first_us) / sqrt(f.likes + getvariable('fallback_smoothing')) AS worth
FROM fresh AS f
JOIN first AS i ON i.liker_id = f.liker_id;
