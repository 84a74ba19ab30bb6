-- Question: from whom are posts withheld, and by which cause?
-- Reads: labels, self_labels
-- Writes: none
-- Grain: one row per wish about a post or an author; of one subject there may be several
-- Parameters: none
-- Units: causes and levels as in pipeline/store/model.py; an rkey below 0 is all of an author's posts
SELECT actor_id, rkey, 1, level FROM labels
UNION ALL
SELECT actor_id, -1, 2, level FROM self_labels WHERE level > 0
