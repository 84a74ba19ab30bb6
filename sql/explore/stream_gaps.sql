-- Question: which stretches of the stream are missing, that no backfill brought since, and which days do they touch?
-- Reads: gaps
-- Writes: none
-- Grain: one row per gap, newest first
-- Parameters: none
-- Units: hours is its length; the days from first_day to last_day (UTC) are partial
SELECT
  from_at, to_at, (epoch_us(to_at) - epoch_us(from_at)) / 3600000000.0::DOUBLE AS hours,
  from_at::DATE AS first_day, to_at::DATE AS last_day, host, wire
FROM gaps
WHERE healed_at IS NULL
ORDER BY from_at DESC;
