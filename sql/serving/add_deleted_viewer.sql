-- Question: up to when is the activity of a deleted viewer to be deleted?
-- Reads: none
-- Writes: deleted_viewers
-- Grain: one row per viewer
-- Parameters: :viewer_did, :deleted_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO deleted_viewers (viewer_did, deleted_us) VALUES (:viewer_did, :deleted_us)
ON CONFLICT (viewer_did) DO UPDATE SET deleted_us = excluded.deleted_us
WHERE excluded.deleted_us > deleted_viewers.deleted_us;
