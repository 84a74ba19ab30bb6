-- Question: which posts of a viewer start the search, and how much does each weigh?
-- Reads: viewers, likes, answers
-- Writes: seeds
-- Grain: one row a (viewer, seed post): the newest likes, and what was answered "show less" or "show more"
-- Parameters: max_seeds, seed_weight_newest, seed_weight_oldest, seed_weight_less, seed_weight_more
-- Units: a like's weight is linear in its place, from the newest to the oldest; a single one has the oldest's.
--   An answer's weight takes the like's place: -seed_weight_less, which outdoes "show more", or seed_weight_more

CREATE OR REPLACE TABLE seeds AS
WITH asked AS (
  SELECT a.viewer_id, a.author_id, a.post_rkey, bool_or(a.event = 'requestLess') AS less
  FROM answers AS a
  SEMI JOIN viewers AS v ON v.viewer_id = a.viewer_id
  WHERE a.event IN ('requestLess', 'requestMore')
  GROUP BY a.viewer_id, a.author_id, a.post_rkey
  QUALIFY row_number() OVER (
    PARTITION BY a.viewer_id ORDER BY a.post_rkey DESC, a.author_id) <= getvariable('max_seeds')
), placed AS (
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
ANTI JOIN asked USING (viewer_id, author_id, post_rkey)
WHERE place < seeds
UNION ALL
SELECT
  viewer_id, author_id, post_rkey,
  CASE WHEN less THEN -getvariable('seed_weight_less') ELSE getvariable('seed_weight_more') END
FROM asked;
