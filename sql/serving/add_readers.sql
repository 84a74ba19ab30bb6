-- Question: which viewers with a list are reading the feed just now?
-- Reads: viewers
-- Writes: temp.readers
-- Grain: one row per viewer_id
-- Parameters: :dids (JSON array)
-- Units: none
INSERT INTO temp.readers
SELECT viewer_id FROM viewers WHERE did IN (SELECT value FROM json_each(:dids));
