-- Question: which lists do these viewers have now, of which generation and variant?
-- Reads: lists, variants
-- Writes: none
-- Grain: one row per viewer
-- Parameters: :feed_id, :viewers (JSON array of viewer_id)
-- Units: items as in 0001_schema.sql
SELECT viewer_id, items, l.generation, coalesce(v.variant, '')
FROM lists AS l
LEFT JOIN variants AS v ON v.generation = l.generation
WHERE feed_id = :feed_id
  AND viewer_id IN (SELECT value FROM json_each(:viewers))
  AND l.generation = (
    SELECT max(generation) FROM lists AS m WHERE m.feed_id = l.feed_id AND m.viewer_id = l.viewer_id);
