-- Question: which tombstone found its like here?
-- Writes: unlikes. Parameters: rkey, liker.
UPDATE unlikes SET met = 1 WHERE rkey = ? AND liker_id = ? AND met = 0
