-- Question: which like records are not in the lake's days?
-- Reads: landed_likes
-- Writes: nothing; returns the rows
-- Grain: one row a like record, in the columns of a day of the lake
-- Parameters: until_us, the stream time before which they were seen
-- Units: as in sql/batch/lake_rows.sql; not sorted, since the file lives until the next run

SELECT
  author_id,
  post_rkey,
  liker_id,
  seen_us - (post_rkey >> 10) AS since_post_us,
  (CASE WHEN rkey < 0 THEN -((-(rkey + 1)) >> 10) - 1 ELSE rkey >> 10 END) - seen_us AS lag_us,
  (CASE WHEN rkey < 0 THEN 1023 - ((-(rkey + 1)) & 1023) ELSE rkey & 1023 END)::SMALLINT AS clock
FROM landed_likes
WHERE seen_us < getvariable('until_us')
