-- Question: in which languages did some viewers ask, and when last?
-- Reads: visits. Grain: a viewer and feed. Parameters: :dids JSON array, :since_us is not looked at.
SELECT v.viewer_did, v.languages, v.last_us
FROM json_each(:dids) AS d
CROSS JOIN visits AS v
WHERE v.viewer_did = d.value
