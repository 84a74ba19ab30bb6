-- Question: when did the last complete run of a job for everybody, or for all who changed, begin, and how long did it
--   take?
-- Reads: runs
-- Writes: none
-- Grain: one row or none
-- Parameters: :job, :last_step (the step after which its work is done)
-- Units: microseconds since 1970 (UTC), seconds
SELECT min(started_us), sum(seconds)
FROM runs
WHERE job = :job AND tier IN ('all', 'changed') AND run_id = (
  SELECT max(run_id)
  FROM runs
  WHERE job = :job AND tier IN ('all', 'changed') AND step = :last_step AND outcome = 'done')
HAVING count(*) > 0;
