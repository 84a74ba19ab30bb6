-- Question: since when has a waiting viewer been seen to?
-- Writes: attended. Grain: one viewer. Parameters: :viewer_did, :began_us microseconds since 1970.
INSERT INTO attended (viewer_did, began_us)
VALUES (:viewer_did, :began_us)
ON CONFLICT (viewer_did) DO UPDATE SET began_us = max(began_us, excluded.began_us)
