-- Question: which sessions does somebody lose who has too many?
-- Reads: none
-- Writes: sessions
-- Grain: one row per session beyond the newest
-- Parameters: :did, :kept
-- Units: none
DELETE FROM sessions
WHERE session_hash IN (
  SELECT session_hash FROM sessions WHERE did = :did ORDER BY began_us DESC, session_hash LIMIT -1 OFFSET :kept)
