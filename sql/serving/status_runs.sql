-- Question: when did each job last run, how long did it take, and how did it end?
-- Reads: runs. Grain: one job. seconds are its steps' sum, peak_mb its largest resident memory.
SELECT
  job,
  min(started_us) AS started_us,
  sum(seconds)    AS seconds,
  max(peak_mb)    AS peak_mb,
  coalesce(min(CASE WHEN outcome <> 'done' THEN outcome END), 'done') AS outcome
FROM runs
WHERE (job, run_id) IN (SELECT job, max(run_id) FROM runs GROUP BY job)
GROUP BY job
ORDER BY job
