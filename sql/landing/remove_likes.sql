-- Question: which likes held here do the batch's unlikes undo?
-- Reads: staged_unlikes. Writes: likes; returns their keys. Parameters: :day, one of those held.
DELETE FROM likes
WHERE day = :day AND (rkey, liker_id) IN (
  SELECT likes.rkey, likes.liker_id
  FROM staged_unlikes AS gone
  JOIN likes ON likes.day = :day AND likes.rkey = gone.rkey AND likes.liker_id = gone.liker_id
  WHERE likes.rev <= gone.rev
)
RETURNING rkey, liker_id
