-- Question: which of these viewers set something, who of them pauses, and which parameters of the ranking are their own?
-- Reads: viewer_settings
-- Writes: none
-- Grain: one row per viewer who did
-- Parameters: :dids (JSON array)
-- Units: ranking is an object of JSON
SELECT viewer_did, is_paused, coalesce(json_extract(settings, '$.ranking'), '{}') AS ranking
FROM viewer_settings
WHERE viewer_did IN (SELECT value FROM json_each(:dids))
