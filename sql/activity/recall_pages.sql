-- Question: which pages was a viewer shown lately, the latest first?
-- Reads: impression_pages. Grain: a page; posts is a JSON array of 'AUTHOR_DID/RKEY'.
-- Parameters: :viewer_did, :feed_rkey, :since_us microseconds since 1970, :rows how many at most.
SELECT posts, served_us
FROM impression_pages
WHERE viewer_did = :viewer_did AND feed_rkey = :feed_rkey AND served_us >= :since_us
ORDER BY served_us DESC
LIMIT :rows;
