-- Question: which answers and picks of some viewers were taken back after they were given?
-- Reads: taken_back_posts
-- Writes: interactions
-- Grain: one row per interaction
-- Parameters: :dids (JSON array)
-- Units: none
DELETE FROM interactions
WHERE viewer_did IN (SELECT value FROM json_each(:dids))
  AND event IN ('requestLess', 'requestMore', 'pick')
  AND EXISTS (
    SELECT 1 FROM taken_back_posts AS t
    WHERE t.viewer_did = interactions.viewer_did AND t.at_us >= interactions.received_us
      AND (t.post_uri = interactions.post_uri OR t.post_uri = '' AND interactions.event = 'pick'));
