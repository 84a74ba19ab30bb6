-- Question: under which number is the list of a DID? (It writes only what changed.)
-- Reads: none
-- Writes: viewers
-- Grain: one row per viewer
-- Parameters: :viewer_id, :did
-- Units: none
INSERT OR REPLACE INTO viewers (viewer_id, did)
SELECT :viewer_id, :did
WHERE NOT EXISTS (SELECT 1 FROM viewers WHERE viewer_id = :viewer_id AND did = :did);
