-- Question: which fetched likes do the batch's unlikes undo? (All of them: what was fetched is older.)
-- Reads: staged_unlikes
-- Writes: history_likes
-- Grain: one row per like record
-- Parameters: none
-- Units: none
DELETE FROM history_likes
WHERE (rkey, liker_id) IN (SELECT rkey, liker_id FROM staged_unlikes)
