-- Question: what does a viewer set for themselves?
-- Reads: none
-- Writes: viewer_settings
-- Grain: one row, unless its class or its taker has no room; whoever has a row keeps it
-- Parameters: :viewer_did, :taker, :is_known, :is_paused, :settings, :changed_us, :class_rows, :taker_rows (how many there
--   may be)
-- Units: microseconds since 1970 (UTC)
INSERT INTO viewer_settings (viewer_did, taker, is_known, is_paused, settings, changed_us)
SELECT :viewer_did, :taker, :is_known, :is_paused, :settings, :changed_us
WHERE EXISTS (SELECT 1 FROM viewer_settings WHERE viewer_did = :viewer_did)
  OR (
    (SELECT count(*) FROM (SELECT 1 FROM viewer_settings WHERE is_known = :is_known LIMIT :class_rows)) < :class_rows
    AND (SELECT count(*) FROM viewer_settings WHERE is_known = :is_known AND taker = :taker) < :taker_rows)
ON CONFLICT (viewer_did) DO UPDATE
SET is_paused = excluded.is_paused, settings = excluded.settings, changed_us = excluded.changed_us
