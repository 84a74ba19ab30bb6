-- Question: under which numbers are the lists of those who are reading the feed just now?
-- Reads: viewers
-- Writes: temp.readers (viewer_id)
-- Grain: one viewer
-- Parameters: :dids JSON array of DIDs
-- Units: none

INSERT INTO temp.readers
SELECT viewer_id FROM viewers WHERE did IN (SELECT value FROM json_each(:dids));
