-- Question: when did each job last run for each tier of viewers, how long did it take, and how did it end?
-- Reads: runs
-- Writes: none
-- Grain: one row per (job, tier)
-- Parameters: none
-- Units: seconds are the steps' sum; peak_mb is the largest resident memory
SELECT
  job,
  tier,
  min(started_us) AS started_us,
  sum(seconds)    AS seconds,
  max(peak_mb)    AS peak_mb,
  coalesce(min(CASE WHEN outcome <> 'done' THEN outcome END), 'done') AS outcome
FROM runs
WHERE (job, tier, run_id) IN (SELECT job, tier, max(run_id) FROM runs GROUP BY job, tier)
GROUP BY job, tier
ORDER BY job, tier
