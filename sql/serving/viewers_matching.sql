-- Question: which viewers with a list have a text in their DID? (For the pages on this machine: it reads all viewers.)
-- Reads: feeds, viewers, lists
-- Writes: none
-- Grain: one row per viewer, by DID; of the newest list its length and its head
-- Parameters: :feed (record key), :search ('' for all), :after (DID to start behind), :rows (how many at most)
-- Units: size is in bytes
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
