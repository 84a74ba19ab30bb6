-- Question: which likes of a viewer start the search, and how much does each weigh?
-- Reads: viewers, likes
-- Writes: seeds
-- Grain: one row a (viewer, seed post)
-- Parameters: max_seeds, seed_weight_newest, seed_weight_oldest
-- Units: weight is linear in the seed's place, from the newest to the oldest; a single seed has the oldest's

CREATE OR REPLACE TABLE seeds AS
WITH placed AS (
  SELECT
    l.liker_id AS viewer_id, l.author_id, l.post_rkey,
    row_number() OVER (
      PARTITION BY l.liker_id ORDER BY l.seen_us DESC, l.post_rkey DESC, l.author_id) - 1 AS place,
    least(count(*) OVER (PARTITION BY l.liker_id), getvariable('max_seeds')) AS seeds
  FROM likes AS l
  SEMI JOIN viewers AS v ON v.viewer_id = l.liker_id
)
SELECT
  viewer_id, author_id, post_rkey,
  CASE WHEN seeds = 1 THEN getvariable('seed_weight_oldest') ELSE
    getvariable('seed_weight_newest')
    + (getvariable('seed_weight_oldest') - getvariable('seed_weight_newest')) * place / (seeds - 1)
  END AS weight
FROM placed
WHERE place < seeds;
