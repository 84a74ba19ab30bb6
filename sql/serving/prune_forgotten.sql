-- Question: which of these viewers had no list of this feed in this run, and none written since some time?
-- Reads: lists, feeds, generations, temp.renewed (viewer_id)
-- Writes: lists
-- Grain: one list
-- Parameters: :feed_id, :first_viewer, :last_viewer, :written_before_us
-- Units: microseconds since 1970 (UTC)

DELETE FROM lists
WHERE feed_id IN (SELECT feed_id FROM feeds)   -- so that the index serves
  AND viewer_id BETWEEN :first_viewer AND :last_viewer
  AND (feed_id <> :feed_id OR viewer_id NOT IN (SELECT viewer_id FROM temp.renewed))
  AND NOT EXISTS (
    SELECT 1 FROM lists AS other
    JOIN generations AS g ON g.generation = other.generation
    WHERE other.feed_id = lists.feed_id
      AND other.viewer_id = lists.viewer_id
      AND g.published_us >= :written_before_us);
