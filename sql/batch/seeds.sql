-- Question: which posts of a viewer start the search, and how much does each weigh?
-- Reads: viewers, likes, answer_weights
-- Writes: seeds
-- Grain: one row per (viewer, seed post): the newest likes, and the posts answered or picked
-- Parameters: max_seeds, seed_weight_newest, seed_weight_oldest
-- Units: weight is linear in the like's place, from the newest to the oldest; a single like has the oldest's. Of likes
--   seen at once the smaller author_id, then the smaller post_rkey, is the newer. An answer's weight replaces the
--   like's
-- Columns: viewer_id, author_id, post_rkey, weight, liked BOOLEAN (false for an answer)
CREATE OR REPLACE TABLE seeds AS
WITH placed AS (
  SELECT
    l.liker_id AS viewer_id, l.author_id, l.post_rkey,
    row_number() OVER (
      PARTITION BY l.liker_id ORDER BY l.seen_us DESC, l.author_id, l.post_rkey) - 1 AS place,
    least(count(*) OVER (PARTITION BY l.liker_id), getvariable('max_seeds')) AS seeds
  FROM likes AS l
  SEMI JOIN viewers AS v ON v.viewer_id = l.liker_id
)
SELECT
  viewer_id, author_id, post_rkey,
  CASE WHEN seeds = 1 THEN getvariable('seed_weight_oldest') ELSE
    getvariable('seed_weight_newest')
    + (getvariable('seed_weight_oldest') - getvariable('seed_weight_newest')) * place / (seeds - 1)
  END AS weight,
  true AS liked
FROM placed
ANTI JOIN answer_weights USING (viewer_id, author_id, post_rkey)
WHERE place < seeds
UNION ALL
SELECT viewer_id, author_id, post_rkey, weight, false FROM answer_weights;
