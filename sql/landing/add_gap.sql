-- Question: which stretch of the stream is missing? (Nothing changes when it lies inside a known gap.)
-- Reads: none
-- Writes: gaps
-- Grain: one row per gap
-- Parameters: :from_us, :to_us, :host, :wire, :noted_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO gaps (from_us, to_us, host, wire, noted_us)
SELECT :from_us, :to_us, :host, :wire, :noted_us
WHERE NOT EXISTS (SELECT 1 FROM gaps WHERE from_us <= :from_us AND to_us >= :to_us)
