-- Question: which changed identities are too many?
-- Reads: none
-- Writes: changed_identities
-- Grain: one row per DID removed, those that changed longest ago first
-- Parameters: :rows (how many)
-- Units: none
DELETE FROM changed_identities
WHERE did IN (SELECT did FROM changed_identities ORDER BY changed_us, did LIMIT :rows);
