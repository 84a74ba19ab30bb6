-- Question: where did the time of a job's last run go?
-- Reads: runs
-- Writes: none
-- Grain: one row per step, longest first
-- Parameters: job = 'candidates' (compact, neighbours or candidates)
-- Units: share is of the run's seconds; rows_per_second is the step's
SELECT
  step, seconds, seconds / sum(seconds) OVER () AS share, rows,
  CASE WHEN seconds > 0 THEN rows / seconds END AS rows_per_second
FROM runs
WHERE job = coalesce(getvariable('job'), 'candidates')
  AND run_id = (SELECT max(run_id) FROM runs WHERE job = coalesce(getvariable('job'), 'candidates'))
ORDER BY seconds DESC, step;
