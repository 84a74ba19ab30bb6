-- Question: what did a viewer do lately, the latest first?
-- Reads: interactions. Grain: an event on a post.
-- Parameters: :viewer_did, :since_us microseconds since 1970, :rows how many at most.
SELECT post_uri, event, received_us
FROM interactions
WHERE viewer_did = :viewer_did AND received_us >= :since_us
ORDER BY received_us DESC
LIMIT :rows;
