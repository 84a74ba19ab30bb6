-- Question: which fetched likes do the batch's unlikes undo?
-- Reads: staged_unlikes. Writes: history_likes. What was fetched has no rev: the unlike came later.
DELETE FROM history_likes
WHERE (rkey, liker_id) IN (SELECT rkey, liker_id FROM staged_unlikes)
