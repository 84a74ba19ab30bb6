-- Question: when did a viewer last take an answer or a pick back?
-- Reads: none
-- Writes: taken_back
-- Grain: one row
-- Parameters: :viewer_did, :received_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO taken_back (viewer_did, received_us) VALUES (:viewer_did, :received_us)
ON CONFLICT (viewer_did) DO UPDATE SET received_us = max(received_us, excluded.received_us)
