-- Question: which interactions are of a viewer whose account was deleted, up to then? They are forgotten.
-- Reads, Writes: interactions.
-- Parameters: :viewer_did, :deleted_us microseconds since 1970.
DELETE FROM interactions WHERE viewer_did = :viewer_did AND received_us <= :deleted_us;
