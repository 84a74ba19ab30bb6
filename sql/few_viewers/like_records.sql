-- Question: which of the records picked from the lake are there, by the last word about each?
-- Reads: lake_records, changes, statements
-- Writes: none
-- Grain: one row per like record
-- Parameters: none
-- Units: as in sql/lake/like_records.sql
WITH keys AS (
  SELECT DISTINCT liker_id, rkey FROM lake_records
), picked AS (   -- changes are many, and the records few
  SELECT c.liker_id, c.rkey, c.rev
  FROM changes AS c
  SEMI JOIN keys AS k ON k.liker_id = c.liker_id AND k.rkey = c.rkey
)
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM lake_records AS l
ANTI JOIN picked AS c ON c.liker_id = l.liker_id AND c.rkey = l.rkey AND c.rev >= l.rkey
ANTI JOIN statements AS s ON s.actor_id = l.liker_id AND s.rev > l.rkey AND s.from_rkey <= l.rkey
