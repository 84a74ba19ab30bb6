-- Question: which lists are newer than a generation? (Into a part, by generation and bucket, so that a node reads its own.)
-- Reads: head.lists, head.viewers
-- Writes: lists
-- Grain: one row per list
-- Parameters: :generation (-1 for all)
-- Units: none
INSERT INTO lists (bucket, feed_id, viewer_id, generation, items)
SELECT bucket_of(v.did) AS bucket, l.feed_id, l.viewer_id, l.generation, l.items
FROM head.lists AS l INDEXED BY lists_by_generation
CROSS JOIN head.viewers AS v ON v.viewer_id = l.viewer_id
WHERE l.generation > :generation
ORDER BY l.generation, bucket;
