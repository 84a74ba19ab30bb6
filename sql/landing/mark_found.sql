-- Question: which tombstone found its like here?
-- Writes: unlikes. Parameters: rkey, liker.
UPDATE unlikes SET found_open_like = 1 WHERE rkey = ? AND liker_id = ? AND found_open_like = 0
