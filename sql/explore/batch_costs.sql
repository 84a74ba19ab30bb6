-- Question: what did each batch run cost?
-- Reads: runs
-- Writes: none
-- Grain: one row per job and tier of a run, newest first
-- Parameters: job = '' (compact, neighbours or candidates; '' for all), rows = 20 (runs shown)
-- Units: tier says whose lists it was for; feeds are those it made lists of; seconds are the steps' sum; peak_mb is the process's peak resident memory
SELECT
  run_id, job, tier, count(DISTINCT feed) FILTER (feed <> '') AS feeds, min(started_at) AS started_at, sum(seconds) AS seconds, max(peak_mb) AS peak_mb,
  arg_max(step, seconds) AS longest_step, max(seconds) AS longest_seconds,
  coalesce(min(outcome) FILTER (outcome <> 'done'), 'done') AS outcome
FROM runs
WHERE coalesce(getvariable('job'), '') IN ('', job)
GROUP BY run_id, job, tier
ORDER BY started_at DESC, job
LIMIT coalesce(getvariable('rows'), 20);
