-- Question: which tombstones are in the lake and can't meet a like here any more?
-- Writes: unlikes. Parameters: :before_day in days since 1970, :rows how many at most.
DELETE FROM unlikes
WHERE (rkey, liker_id) IN (SELECT rkey, liker_id FROM unlikes WHERE day < :before_day LIMIT :rows)
