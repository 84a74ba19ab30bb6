-- Question: how is a day of likes stored in the lake?
-- Reads: day
-- Writes: none
-- Grain: one row per like record, sorted so that each column differs little from row to row
-- Parameters: none
-- Units: as in sql/lake/macros.sql, which reads them back; an rkey that is not a TID is negative
SELECT
  author_id, post_rkey, liker_id, seen_us - (post_rkey >> 10) AS since_post_us,
  (rkey >> 10) - seen_us AS lag_us, (rkey & 1023)::SMALLINT AS clock
FROM day
ORDER BY author_id, post_rkey, liker_id, seen_us, rkey;
