-- Question: which posts with some record keys are withheld, and from whom?
-- Reads: withheld_posts
-- Writes: none
-- Grain: one row per withheld post
-- Parameters: :rkeys (JSON array of record keys)
-- Units: level and cause as in pipeline/store/model.py; the last column is the level when the operator allows the post in
--   spite of labelers (cause 1)
SELECT author_id, rkey, max(level), max(iif(cause = 1, 0, level))
FROM withheld_posts
WHERE rkey IN (SELECT value FROM json_each(:rkeys))
GROUP BY author_id, rkey;
