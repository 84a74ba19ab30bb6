-- Question: where did the time of a job's last run go?
-- Reads: runs
-- Writes: none
-- Grain: one row per step, longest first
-- Parameters: job = 'candidates' (compact, neighbours or candidates), tier = '' (whose lists: all, changed, recent or
--   waiting; '' for any)
-- Units: share is of the run's seconds; rows_per_second is the step's; a step that several feeds need is
--   their sum. Without a tier, the last run may have been for some viewers only
SELECT
  step, sum(seconds) AS seconds, sum(seconds) / sum(sum(seconds)) OVER () AS share, sum(rows)::BIGINT AS rows,
  CASE WHEN sum(seconds) > 0 THEN sum(rows) / sum(seconds) END AS rows_per_second
FROM runs
WHERE job = coalesce(getvariable('job'), 'candidates') AND coalesce(getvariable('tier'), '') IN ('', tier)
  AND run_id = (
    SELECT max(run_id) FROM runs
    WHERE job = coalesce(getvariable('job'), 'candidates') AND coalesce(getvariable('tier'), '') IN ('', tier))
GROUP BY step
ORDER BY seconds DESC, step;
