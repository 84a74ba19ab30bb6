-- Question: when did a viewer last do something on another machine?
-- Reads: none
-- Writes: changed_viewers
-- Grain: one row per viewer
-- Parameters: :viewer_did, :at_us
-- Units: microseconds since 1970 (UTC), when it became known here
INSERT INTO changed_viewers (viewer_did, at_us) VALUES (:viewer_did, :at_us)
ON CONFLICT (viewer_did) DO UPDATE SET at_us = excluded.at_us
