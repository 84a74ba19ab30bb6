-- Question: from whom are all posts of some authors withheld?
-- Reads: withheld_authors
-- Writes: none
-- Grain: one row per withheld author
-- Parameters: :authors (JSON array of actor ids)
-- Units: level as in pipeline/store/model.py
SELECT author_id, max(level)
FROM withheld_authors
WHERE author_id IN (SELECT value FROM json_each(:authors))
GROUP BY author_id;
