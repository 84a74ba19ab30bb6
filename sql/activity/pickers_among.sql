-- Question: which of some viewers picked posts to begin with?
-- Reads: interactions
-- Writes: none
-- Grain: one row per viewer
-- Parameters: :dids (JSON array)
-- Units: none
SELECT d.value
FROM json_each(:dids) AS d
WHERE EXISTS (SELECT 1 FROM interactions AS i WHERE i.viewer_did = d.value AND i.event = 'pick')
