-- Question: which likes of a day do the batch's unlikes undo?
-- Reads: staged_unlikes
-- Writes: likes (returns the keys)
-- Grain: one row per like record
-- Parameters: :day
-- Units: day is in days since 1970
DELETE FROM likes
WHERE day = :day AND (rkey, liker_id) IN (
  SELECT likes.rkey, likes.liker_id
  FROM staged_unlikes AS u
  JOIN likes ON likes.day = :day AND likes.rkey = u.rkey AND likes.liker_id = u.liker_id
  WHERE likes.rev <= u.rev
)
RETURNING rkey, liker_id
