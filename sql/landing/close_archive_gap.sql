-- Question: where does the stretch end that is missing between an archive's history and the stream's first event?
-- Reads: none
-- Writes: gaps
-- Grain: one row, none unless a backfill filled an empty store
-- Parameters: :first_us (when the stream's first event was seen)
-- Units: microseconds since 1970 (UTC)
UPDATE gaps
SET to_us = max(from_us, :first_us), healed_us = iif(:first_us <= from_us, :first_us, 0)
WHERE wire = 'archive' AND healed_us = 0
