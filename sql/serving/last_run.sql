-- Question: when did a job last begin that went to its end for everybody, or for all who changed, and how long did it
--   take?
-- Reads: runs
-- Writes: nothing
-- Grain: one row or none
-- Parameters: :job, :last_step the step after which its work is done
-- Units: microseconds since 1970 (UTC), seconds

SELECT min(started_us), sum(seconds)
FROM runs
WHERE job = :job AND tier IN ('all', 'changed') AND run_id = (
  SELECT max(run_id)
  FROM runs
  WHERE job = :job AND tier IN ('all', 'changed') AND step = :last_step AND outcome = 'done')
HAVING count(*) > 0;
