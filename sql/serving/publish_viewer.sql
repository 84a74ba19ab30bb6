-- Question: under which number does a viewer's DID find its list? (Writes only what changed.)
-- Reads: viewers
-- Writes: viewers
-- Grain: one viewer
-- Parameters: :viewer_id, :did
-- Units: none

INSERT OR REPLACE INTO viewers (viewer_id, did)
SELECT :viewer_id, :did
WHERE NOT EXISTS (SELECT 1 FROM viewers WHERE viewer_id = :viewer_id AND did = :did);
