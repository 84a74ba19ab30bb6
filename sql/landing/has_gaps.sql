-- Question: is anything missing that a backfill may bring: a gap, or the beginning of the first day?
-- Reads: watermark, gaps, began
-- Writes: none
-- Grain: one row, none when nothing is missing or the stream has not come far enough to tell
-- Parameters: :window_us (how long ago is too old)
-- Units: 86400000000 microseconds to a day
SELECT low_us
FROM watermark
WHERE low_us > 0 AND (
  EXISTS (SELECT 1 FROM gaps WHERE healed_us = 0 AND to_us > low_us - :window_us)
  OR EXISTS (SELECT 1 FROM began WHERE seen_us % 86400000000 <> 0 AND seen_us > low_us - :window_us)
)
