-- Question: which of these viewers set something for themselves, and who of them pauses?
-- Reads: viewer_settings
-- Writes: none
-- Grain: one row per viewer who did
-- Parameters: :dids (JSON array)
-- Units: none
SELECT viewer_did, is_paused
FROM viewer_settings
WHERE viewer_did IN (SELECT value FROM json_each(:dids))
