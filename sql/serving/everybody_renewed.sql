-- Question: when were the lists of all viewers last renewed? Runs for a few viewers publish generations too, and say
--   nothing of the others.
-- Reads: runs, generations
-- Writes: none
-- Grain: one row
-- Parameters: none
-- Units: microseconds since 1970 (UTC); without a record, since the oldest generation; NULL before the first
SELECT
  coalesce(
    (SELECT started_us + CAST(seconds * 1e6 AS INTEGER)
     FROM runs
     WHERE job = 'candidates' AND tier = 'all' AND step = 'prune generations' AND outcome = 'done'
     ORDER BY run_id DESC
     LIMIT 1),
    (SELECT min(published_us) FROM generations)
  ) AS renewed_us
