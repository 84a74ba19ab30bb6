-- Question: which sessions make room when there are too many?
-- Reads: none
-- Writes: sessions
-- Grain: one row per session beyond those that end last
-- Parameters: :kept
-- Units: none
DELETE FROM sessions
WHERE session_hash IN (
  SELECT session_hash FROM sessions ORDER BY until_us DESC, session_hash LIMIT -1 OFFSET :kept)
