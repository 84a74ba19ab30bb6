-- Question: which labels have expired?
-- Reads: labels
-- Writes: none
-- Grain: one row per label, those that expired first, first
-- Parameters: :now_us, :rows (how many at most)
-- Units: none
SELECT rkey, actor_id, labeler_id, val
FROM labels
WHERE until_us <= :now_us
ORDER BY until_us
LIMIT :rows;
