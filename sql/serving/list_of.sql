-- Question: what is a viewer's candidate list as of a generation?
-- Reads: feeds, viewers, lists
-- Writes: none
-- Grain: one row or none
-- Parameters: :feed (record key), :viewer (DID), :generation (the newest to consider)
-- Units: items as in 0001_schema.sql
SELECT lists.generation, lists.items
FROM feeds
JOIN viewers ON viewers.did = :viewer
JOIN lists ON lists.feed_id = feeds.feed_id
  AND lists.viewer_id = viewers.viewer_id
  AND lists.generation <= :generation
WHERE feeds.rkey = :feed
ORDER BY lists.generation DESC
LIMIT 1;
