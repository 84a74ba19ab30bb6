-- Question: from when on is the store whole, but for its gaps, once a backfill reported what came before?
-- Reads: none
-- Writes: began
-- Grain: one row
-- Parameters: :began_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO began (id, seen_us) VALUES (1, :began_us)
ON CONFLICT (id) DO UPDATE SET seen_us = min(seen_us, excluded.seen_us)
