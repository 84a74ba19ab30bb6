-- Question: whose activity is to be purged, and up to when?
-- Reads: deleted_viewers
-- Writes: nothing
-- Grain: one viewer
-- Parameters: none
-- Units: microseconds since 1970 (UTC)

SELECT viewer_did, deleted_us FROM deleted_viewers;
