-- Question: which pages are of a viewer whose account was deleted, up to then? They are forgotten.
-- Reads, Writes: impression_pages.
-- Parameters: :viewer_did, :deleted_us microseconds since 1970.
DELETE FROM impression_pages WHERE viewer_did = :viewer_did AND served_us <= :deleted_us;
