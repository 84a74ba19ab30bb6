-- Question: which like records are not in the lake's days?
-- Reads: landed_likes
-- Writes: none
-- Grain: one row per like record, with the columns of a day in the lake; not sorted, since the file lives until the
--   next run
-- Parameters: until_us (stream time before which they were seen)
-- Units: as in sql/lake/macros.sql
SELECT
  author_id, post_rkey, liker_id, seen_us - (post_rkey >> 10) AS since_post_us,
  (rkey >> 10) - seen_us AS lag_us, (rkey & 1023)::SMALLINT AS clock
FROM landed_likes
WHERE seen_us < getvariable('until_us')
