-- Question: from whom do all posts of each labelled author have to be withheld?
-- Reads: labels
-- Writes: none
-- Grain: one row per author with a label on the account or the profile
-- Parameters: none
-- Units: level as in pipeline/store/model.py
SELECT actor_id, max(level)
FROM labels
WHERE rkey < 0
GROUP BY actor_id;
