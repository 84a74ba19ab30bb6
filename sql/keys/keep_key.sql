-- Question: what is a viewer's signing key, by their latest document?
-- Reads: none
-- Writes: keys
-- Grain: one row per viewer
-- Parameters: :did, :algorithm (ES256K or ES256), :point (encoded public key), :fetched_us
-- Units: fetched_us is microseconds since 1970 (UTC)
INSERT INTO keys (did, algorithm, point, fetched_us)
VALUES (:did, :algorithm, :point, :fetched_us)
ON CONFLICT (did) DO UPDATE SET
  algorithm = excluded.algorithm,
  point = excluded.point,
  fetched_us = excluded.fetched_us;
