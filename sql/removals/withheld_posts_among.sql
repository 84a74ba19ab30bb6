-- Question: which posts with some record keys are withheld, and from whom?
-- Reads: withheld_posts
-- Writes: none
-- Grain: one row per withheld post
-- Parameters: :rkeys (JSON array of record keys)
-- Units: level as in pipeline/store/model.py
SELECT author_id, rkey, max(level)
FROM withheld_posts
WHERE rkey IN (SELECT value FROM json_each(:rkeys))
GROUP BY author_id, rkey;
