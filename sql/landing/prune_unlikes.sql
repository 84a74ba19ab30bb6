-- Question: which tombstones of a day that is in the lake go next?
-- Writes: unlikes. Parameters: :day in days since 1970, :rows how many at most.
DELETE FROM unlikes
WHERE (rkey, liker_id) IN (SELECT rkey, liker_id FROM unlikes WHERE day = :day LIMIT :rows)
