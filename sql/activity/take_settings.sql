-- Question: what did a viewer set for themselves on another machine? (The last word counts; room was made for it there.)
-- Reads: none
-- Writes: viewer_settings
-- Grain: one row
-- Parameters: :viewer_did, :taker, :is_known, :is_paused, :settings, :changed_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO viewer_settings (viewer_did, taker, is_known, is_paused, settings, changed_us)
VALUES (:viewer_did, :taker, :is_known, :is_paused, :settings, :changed_us)
ON CONFLICT (viewer_did) DO UPDATE
SET is_paused = excluded.is_paused, settings = excluded.settings, changed_us = excluded.changed_us
WHERE excluded.changed_us >= viewer_settings.changed_us
