-- Question: which posts did a viewer answer with "show less" or "show more", or pick, and what does each weigh?
-- Reads: answers, viewers, valid_likes
-- Writes: answer_weights
-- Grain: one row per (viewer, post), for the max_seeds newest posts of a viewer; a pick that weighs nothing any more, or
--   that its viewer likes by now, has none
-- Parameters: max_seeds, seed_weight_less, seed_weight_more, seed_weight_pick, pick_fade_likes
-- Units: weight is -seed_weight_less, or seed_weight_more, or seed_weight_pick * (1 - likes / pick_fade_likes), with the
--   viewer's posts liked in the window; with several answers the first of these counts
-- Columns: viewer_id, author_id, post_rkey, weight
CREATE OR REPLACE TABLE answer_weights AS
WITH given AS (
  SELECT
    a.viewer_id, a.author_id, a.post_rkey,
    bool_or(a.event = 'requestLess') AS less, bool_or(a.event = 'requestMore') AS more
  FROM answers AS a
  SEMI JOIN viewers AS v ON v.viewer_id = a.viewer_id
  WHERE a.event IN ('requestLess', 'requestMore', 'pick')
  GROUP BY a.viewer_id, a.author_id, a.post_rkey
), picks AS (
  SELECT viewer_id, author_id, post_rkey FROM given WHERE NOT less AND NOT more
), own_likes AS MATERIALIZED (   -- reads nothing where nobody picked
  SELECT DISTINCT l.liker_id AS viewer_id, l.author_id, l.post_rkey
  FROM valid_likes AS l
  SEMI JOIN picks AS p ON p.viewer_id = l.liker_id
), counted AS (
  SELECT viewer_id, count(*) AS likes FROM own_likes GROUP BY viewer_id
), weighed AS (
  SELECT
    viewer_id, author_id, post_rkey,
    CASE WHEN less THEN -getvariable('seed_weight_less') ELSE getvariable('seed_weight_more') END AS weight
  FROM given
  WHERE less OR more
  UNION ALL
  SELECT
    p.viewer_id, p.author_id, p.post_rkey,
    getvariable('seed_weight_pick') * (1 - coalesce(c.likes, 0) / getvariable('pick_fade_likes')) AS weight
  FROM picks AS p
  LEFT JOIN counted AS c ON c.viewer_id = p.viewer_id
  ANTI JOIN own_likes AS o
    ON o.viewer_id = p.viewer_id AND o.author_id = p.author_id AND o.post_rkey = p.post_rkey
  WHERE getvariable('seed_weight_pick') > 0 AND coalesce(c.likes, 0) < getvariable('pick_fade_likes')
)
SELECT viewer_id, author_id, post_rkey, weight
FROM weighed
QUALIFY row_number() OVER (
  PARTITION BY viewer_id ORDER BY post_rkey DESC, author_id) <= getvariable('max_seeds');
