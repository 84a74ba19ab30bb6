-- Question: what is a viewer's signing key, by their latest document?
-- Writes: keys.
-- Parameters: :did, :algorithm ES256K or ES256, :point encoded public key, :fetched_us microseconds since 1970.
INSERT INTO keys (did, algorithm, point, fetched_us)
VALUES (:did, :algorithm, :point, :fetched_us)
ON CONFLICT (did) DO UPDATE SET
  algorithm = excluded.algorithm,
  point = excluded.point,
  fetched_us = excluded.fetched_us;
