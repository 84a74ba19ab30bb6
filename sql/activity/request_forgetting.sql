-- Question: who wants to be forgotten?
-- Reads: none
-- Writes: forget_requests
-- Grain: one row
-- Parameters: :viewer_did, :requested_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO forget_requests (viewer_did, requested_us) VALUES (:viewer_did, :requested_us)
ON CONFLICT (viewer_did) DO UPDATE SET requested_us = excluded.requested_us
