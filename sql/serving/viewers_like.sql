-- Question: which viewers have a list, in the order of their DIDs?
-- Reads: viewers, feeds, lists. Grain: one viewer; of their newest list how many bytes it has, and its head. For the pages on this
-- machine: a search reads all viewers.
-- Parameters: :feed record key of the feed, :search text that the DID holds ('' for all), :after DID to start
-- behind, :rows how many at most.
SELECT viewers.did, substr(lists.items, 1, 16) AS head, length(lists.items) AS size
FROM feeds
JOIN viewers ON viewers.did > :after
JOIN lists ON lists.feed_id = feeds.feed_id
  AND lists.viewer_id = viewers.viewer_id
  AND lists.generation = (
    SELECT max(newest.generation)
    FROM lists AS newest
    WHERE newest.feed_id = feeds.feed_id AND newest.viewer_id = viewers.viewer_id
  )
WHERE feeds.rkey = :feed
  AND (:search = '' OR instr(viewers.did, :search) > 0)
ORDER BY viewers.did
LIMIT :rows;
