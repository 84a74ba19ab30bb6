-- Question: which landing rows of a day that is in the lake go next?
-- Writes: likes. Parameters: :day in days since 1970, :rows about how many rows at most.
DELETE FROM likes
WHERE day = :day AND rkey <= (
  SELECT max(rkey) FROM (SELECT rkey FROM likes WHERE day = :day ORDER BY rkey LIMIT :rows)
)
