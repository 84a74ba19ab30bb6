-- Question: which lists do these viewers have now, and of which generation?
-- Reads: lists
-- Writes: nothing
-- Grain: one row a viewer
-- Parameters: :feed_id, :first_viewer, :last_viewer
-- Units: none

SELECT viewer_id, items, generation
FROM lists AS l
WHERE feed_id = :feed_id
  AND viewer_id BETWEEN :first_viewer AND :last_viewer
  AND generation = (
    SELECT max(generation) FROM lists AS m WHERE m.feed_id = l.feed_id AND m.viewer_id = l.viewer_id);
