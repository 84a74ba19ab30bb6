-- Question: which viewers have a list, in the order of their DIDs?
-- Reads: viewers, feeds, lists. Grain: one viewer; items counts their newest list. For the pages on this
-- machine: a search reads all viewers.
-- Parameters: :feed record key of the feed, :search text that the DID holds ('' for all), :after DID to start
-- behind, :rows how many at most.
SELECT
  viewers.did,
  (
    SELECT length(lists.items) / 11
    FROM lists
    WHERE lists.feed_id = feeds.feed_id AND lists.viewer_id = viewers.viewer_id
    ORDER BY lists.generation DESC
    LIMIT 1
  ) AS items
FROM feeds
JOIN viewers ON viewers.did > :after
WHERE feeds.rkey = :feed
  AND (:search = '' OR instr(viewers.did, :search) > 0)
  AND EXISTS (
    SELECT 1 FROM lists WHERE lists.feed_id = feeds.feed_id AND lists.viewer_id = viewers.viewer_id
  )
ORDER BY viewers.did
LIMIT :rows;
