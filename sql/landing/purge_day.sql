-- Question: which likes of a day in the lake are deleted next?
-- Reads: none
-- Writes: likes
-- Grain: one row per like record
-- Parameters: :day, :rows (about how many at most)
-- Units: day is in days since 1970
DELETE FROM likes
WHERE day = :day AND rkey <= (
  SELECT max(rkey) FROM (SELECT rkey FROM likes WHERE day = :day ORDER BY rkey LIMIT :rows)
)
