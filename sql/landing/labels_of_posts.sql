-- Question: from whom does each labelled post have to be withheld?
-- Reads: labels
-- Writes: none
-- Grain: one row per labelled post
-- Parameters: none
-- Units: level as in pipeline/store/model.py
SELECT rkey, actor_id, max(level)
FROM labels
WHERE rkey >= 0
GROUP BY rkey, actor_id;
