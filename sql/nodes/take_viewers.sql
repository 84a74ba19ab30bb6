-- Question: which viewers of a shard does a part bring?
-- Reads: part.viewers, main.viewers
-- Writes: viewers
-- Grain: one row per viewer
-- Parameters: :shards (how many), :remainder (of the shard's buckets)
-- Units: none
INSERT OR REPLACE INTO viewers (viewer_id, did)
SELECT p.viewer_id, p.did
FROM part.viewers AS p
WHERE p.bucket % :shards = :remainder
  AND NOT EXISTS (SELECT 1 FROM main.viewers AS v WHERE v.viewer_id = p.viewer_id AND v.did = p.did);
