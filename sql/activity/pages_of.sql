-- Question: which pages was a viewer shown lately?
-- Reads: impression_pages
-- Writes: none
-- Grain: one row per page, the latest first; posts is a JSON array of 'AUTHOR_DID/RKEY'
-- Parameters: :viewer_did, :feed_rkey, :since_us, :rows (how many at most)
-- Units: microseconds since 1970 (UTC)
SELECT posts, served_us
FROM impression_pages
WHERE viewer_did = :viewer_did AND feed_rkey = :feed_rkey AND served_us >= :since_us
ORDER BY served_us DESC
LIMIT :rows;
