-- Question: how is a day written to the lake? (lake_macros.sql has the way back.)
-- Reads: day
-- Writes: nothing; returns the rows
-- Grain: one row a like record, sorted so that each column differs little from row to row
-- Parameters: none
-- Units: as in lake_macros.sql; an rkey that is no TID is negative, and is cut at the same ten bits

SELECT
  author_id,
  post_rkey,
  liker_id,
  seen_us - (post_rkey >> 10) AS since_post_us,
  (CASE WHEN rkey < 0 THEN -((-(rkey + 1)) >> 10) - 1 ELSE rkey >> 10 END) - seen_us AS lag_us,
  (CASE WHEN rkey < 0 THEN 1023 - ((-(rkey + 1)) & 1023) ELSE rkey & 1023 END)::SMALLINT AS clock
FROM day
ORDER BY author_id, post_rkey, liker_id, seen_us, rkey;
