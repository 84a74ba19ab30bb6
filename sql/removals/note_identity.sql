-- Question: when did an identity change?
-- Reads: none
-- Writes: changed_identities
-- Grain: one row per DID
-- Parameters: :did, :changed_us
-- Units: as in 0001_removals.sql
INSERT INTO changed_identities (did, changed_us)
VALUES (:did, :changed_us)
ON CONFLICT (did) DO UPDATE SET changed_us = excluded.changed_us;
