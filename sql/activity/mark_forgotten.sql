-- Question: when was a viewer forgotten?
-- Reads: none
-- Writes: forgotten
-- Grain: one row
-- Parameters: :mark, :at_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO forgotten (mark, at_us) VALUES (:mark, :at_us)
ON CONFLICT (mark) DO UPDATE SET at_us = excluded.at_us
