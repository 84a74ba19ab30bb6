-- Question: who is signed in, and who is signing in? (sessions.sqlite, written by the web app alone; may be deleted)
-- Reads: none
-- Writes: sign_ins, sessions
-- Grain: given above each table
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)

-- Secrets that a browser or a server has are here as SHA-256 only, so that whoever reads the file can't use them.

-- A sign-in that was begun. Its row is deleted by the first answer to it, right or wrong.
CREATE TABLE sign_ins (
  state_hash          BLOB    NOT NULL PRIMARY KEY,
  browser_hash        BLOB    NOT NULL,   -- the cookie of the browser that began it
  did                 TEXT    NOT NULL,   -- who they say they are; the answer must say the same
  issuer              TEXT    NOT NULL,   -- the authorization server that speaks for that DID
  token_endpoint      TEXT    NOT NULL,   -- paths at the issuer
  revocation_endpoint TEXT    NOT NULL,   -- '' when it has none
  verifier            TEXT    NOT NULL,   -- of PKCE
  proof_key           TEXT    NOT NULL,   -- of DPoP, a JWK that is made for this sign-in alone
  nonce               TEXT    NOT NULL,   -- of DPoP, the issuer's last one
  began_us            INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sign_ins_by_time ON sign_ins (began_us);

-- A browser that is signed in.
CREATE TABLE sessions (
  session_hash BLOB    NOT NULL PRIMARY KEY,
  did          TEXT    NOT NULL,
  began_us     INTEGER NOT NULL,
  until_us     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_did ON sessions (did, began_us);
CREATE INDEX sessions_by_end ON sessions (until_us);
