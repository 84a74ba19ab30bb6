-- Question: what did each step of each batch run cost?
-- Reads: store_rows (runs of serving.sqlite)
-- Writes: none
-- Grain: one row per (run, job, step)
-- Parameters: none
-- Units: started_us is microseconds since 1970 (UTC); peak_mb is the process's peak resident memory so far
SELECT
  run_id::INTEGER AS run_id, job::VARCHAR AS job, tier::VARCHAR AS tier, feed::VARCHAR AS feed, step::VARCHAR AS step, started_us::BIGINT AS started_us,
  seconds::DOUBLE AS seconds, rows::BIGINT AS rows, peak_mb::DOUBLE AS peak_mb, outcome::VARCHAR AS outcome
FROM store_rows
