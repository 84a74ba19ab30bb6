-- Question: which sign-in does an answer belong to? It is taken out, so there is one answer.
-- Reads: none
-- Writes: sign_ins
-- Grain: one row at most
-- Parameters: :state_hash
-- Units: microseconds since 1970 (UTC)
DELETE FROM sign_ins
WHERE state_hash = :state_hash
RETURNING browser_hash, did, issuer, token_endpoint, revocation_endpoint, verifier, proof_key, nonce, began_us
