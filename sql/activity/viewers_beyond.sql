-- Question: who of some viewers has more interactions than are kept of one?
-- Reads: takers
-- Writes: none
-- Grain: one row per viewer
-- Parameters: :dids (JSON array), :known, :strangers (how many are allowed of a viewer of each class)
-- Units: none
SELECT t.viewer_did, t.is_known
FROM json_each(:dids) AS d
CROSS JOIN takers AS t
WHERE t.viewer_did = d.value
  AND t.interactions > CASE t.is_known WHEN 1 THEN :known ELSE :strangers END;
