-- Question: which landing rows of a day that is in the lake go next?
-- Writes: likes. Parameters: :day in days since 1970, :rows about how many rows at most.
DELETE FROM likes
WHERE day = :day AND liker_id <= (
  SELECT max(liker_id)
  FROM (SELECT liker_id FROM likes WHERE day = :day ORDER BY liker_id LIMIT :rows)
)
