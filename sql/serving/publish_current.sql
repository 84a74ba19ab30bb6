-- Question: which lists do these viewers have now, and of which variant?
-- Reads: lists, variants
-- Writes: nothing
-- Grain: one row a viewer
-- Parameters: :feed_id, :first_viewer, :last_viewer
-- Units: none

SELECT viewer_id, items, coalesce(v.variant, '')
FROM lists AS l
LEFT JOIN variants AS v ON v.generation = l.generation
WHERE feed_id = :feed_id
  AND viewer_id BETWEEN :first_viewer AND :last_viewer
  AND l.generation = (
    SELECT max(generation) FROM lists AS m WHERE m.feed_id = l.feed_id AND m.viewer_id = l.viewer_id);
