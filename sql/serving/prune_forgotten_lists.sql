-- Question: which of these viewers had no list in a run for everybody, and none written since a time? Which lists are
--   of a feed that is not configured any more?
-- Reads: feeds, generations, temp.renewed, temp.configured
-- Writes: lists
-- Grain: one row per list
-- Parameters: :feed_id (of the run), :first_viewer, :last_viewer, :written_before_us
-- Units: microseconds since 1970 (UTC)
DELETE FROM lists
WHERE feed_id IN (SELECT feed_id FROM feeds)   -- so that the index serves
  AND viewer_id BETWEEN :first_viewer AND :last_viewer
  AND (
    feed_id = :feed_id AND viewer_id NOT IN (SELECT viewer_id FROM temp.renewed)
    OR feed_id NOT IN (SELECT feed_id FROM temp.configured))
  AND NOT EXISTS (
    SELECT 1 FROM lists AS other
    JOIN generations AS g ON g.generation = other.generation
    WHERE other.feed_id = lists.feed_id
      AND other.viewer_id = lists.viewer_id
      AND g.published_us >= :written_before_us);
