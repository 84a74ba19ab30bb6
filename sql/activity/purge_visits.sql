-- Question: which visits are of a viewer whose account was deleted, up to then? They are forgotten.
-- Reads, Writes: visits.
-- Parameters: :viewer_did, :deleted_us microseconds since 1970.
DELETE FROM visits WHERE viewer_did = :viewer_did AND last_us <= :deleted_us;
