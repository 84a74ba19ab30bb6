-- Question: which reposts are too old to be of use?
-- Writes: reposts. Parameters: :before_us, :rows how many at most.
DELETE FROM reposts
WHERE (rkey, reposter_id) IN (
  SELECT rkey, reposter_id FROM reposts WHERE seen_us < :before_us ORDER BY seen_us LIMIT :rows
)
