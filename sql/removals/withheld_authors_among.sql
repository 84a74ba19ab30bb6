-- Question: from whom are all posts of some authors withheld?
-- Reads: withheld_authors
-- Writes: none
-- Grain: one row per withheld author
-- Parameters: :authors (JSON array of actor ids)
-- Units: level and cause as in pipeline/store/model.py; the last column is the level when the operator allows the author
--   in spite of labelers (cause 1)
SELECT author_id, max(level), max(iif(cause = 1, 0, level))
FROM withheld_authors
WHERE author_id IN (SELECT value FROM json_each(:authors))
GROUP BY author_id;
