-- Question: which tombstones of a day in the lake are deleted next?
-- Reads: none
-- Writes: unlikes
-- Grain: one row per tombstone
-- Parameters: :day, :rows (how many at most)
-- Units: day is in days since 1970
DELETE FROM unlikes
WHERE (rkey, liker_id) IN (SELECT rkey, liker_id FROM unlikes WHERE day = :day LIMIT :rows)
