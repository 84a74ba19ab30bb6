-- Question: which stretches of the stream are missing?
-- Reads: arrived (rows of landing.sqlite)
-- Writes: nothing; returns the rows
-- Grain: one row a gap
-- Parameters: none
-- Units: microseconds since 1970 (UTC)

SELECT
  gap_id::INTEGER AS gap_id, from_us::BIGINT AS from_us, to_us::BIGINT AS to_us, host::VARCHAR AS host,
  wire::VARCHAR AS wire, noted_us::BIGINT AS noted_us
FROM arrived
