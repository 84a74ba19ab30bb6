-- Question: which stretches of the stream are missing?
-- Reads: store_rows (gaps of landing.sqlite)
-- Writes: none
-- Grain: one row per gap
-- Parameters: none
-- Units: microseconds since 1970 (UTC)
SELECT
  gap_id::INTEGER AS gap_id, from_us::BIGINT AS from_us, to_us::BIGINT AS to_us, host::VARCHAR AS host,
  wire::VARCHAR AS wire, noted_us::BIGINT AS noted_us, healed_us::BIGINT AS healed_us
FROM store_rows
