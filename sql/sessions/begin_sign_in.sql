-- Question: which sign-in was begun?
-- Reads: none
-- Writes: sign_ins
-- Grain: one row
-- Parameters: :state_hash, :browser_hash, :did, :issuer, :token_endpoint, :revocation_endpoint, :verifier, :proof_key, :nonce,
--   :began_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO sign_ins
  (state_hash, browser_hash, did, issuer, token_endpoint, revocation_endpoint, verifier, proof_key, nonce, began_us)
VALUES
  (:state_hash, :browser_hash, :did, :issuer, :token_endpoint, :revocation_endpoint, :verifier, :proof_key, :nonce,
   :began_us)
