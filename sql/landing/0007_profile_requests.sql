-- Question: whose profiles was the AppView asked about, and when?
-- Reads: none
-- Writes: profile_requests
-- Grain: one row per author of a post that lists named
-- Parameters: none
-- Units: requested_us is a time of this machine's clock, in microseconds since 1970 (UTC)
CREATE TABLE profile_requests (
  actor_id INTEGER PRIMARY KEY,
  requested_us INTEGER NOT NULL
);
