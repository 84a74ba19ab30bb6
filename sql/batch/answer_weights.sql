-- Question: which posts did a viewer answer with "show less" or "show more", and what does each answer weigh?
-- Reads: answers, viewers
-- Writes: answer_weights
-- Grain: one row per (viewer, post), for the max_seeds newest posts of a viewer
-- Parameters: max_seeds, seed_weight_less, seed_weight_more
-- Units: weight is -seed_weight_less or seed_weight_more; with both answers, "show less" counts
-- Columns: viewer_id, author_id, post_rkey, weight
CREATE OR REPLACE TABLE answer_weights AS
SELECT
  a.viewer_id, a.author_id, a.post_rkey,
  CASE WHEN bool_or(a.event = 'requestLess') THEN -getvariable('seed_weight_less')
    ELSE getvariable('seed_weight_more') END AS weight
FROM answers AS a
SEMI JOIN viewers AS v ON v.viewer_id = a.viewer_id
WHERE a.event IN ('requestLess', 'requestMore')
GROUP BY a.viewer_id, a.author_id, a.post_rkey
QUALIFY row_number() OVER (
  PARTITION BY a.viewer_id ORDER BY a.post_rkey DESC, a.author_id) <= getvariable('max_seeds');
