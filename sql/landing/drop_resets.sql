-- Question: which actors are not fetched after all, since too many wait to be fetched?
-- Reads: none
-- Writes: fetched_viewers
-- Grain: one row per DID, those that wait longest
-- Parameters: :most (how many may wait)
-- Units: none
DELETE FROM fetched_viewers
WHERE did IN (
  SELECT did FROM fetched_viewers
  WHERE reset_no > 0
  ORDER BY reset_no
  LIMIT max(0, (SELECT count(*) FROM fetched_viewers WHERE reset_no > 0) - :most)
)
