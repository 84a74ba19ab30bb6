-- Question: which lists do these viewers have now, and of which generation?
-- Reads: lists
-- Writes: nothing
-- Grain: one row a viewer
-- Parameters: :feed_id, :viewers JSON array of viewer_id
-- Units: none

SELECT viewer_id, items, generation
FROM lists AS l
WHERE feed_id = :feed_id
  AND viewer_id IN (SELECT value FROM json_each(:viewers))
  AND generation = (
    SELECT max(generation) FROM lists AS m WHERE m.feed_id = l.feed_id AND m.viewer_id = l.viewer_id);
