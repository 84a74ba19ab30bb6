-- Question: what did a viewer ask for lately, and see, the latest first of each?
-- Reads: interactions. Grain: an event on a post.
-- Parameters: :viewer_did, :since_us microseconds since 1970, :rows how many at most.
SELECT post_uri, event, received_us
FROM interactions
WHERE viewer_did = :viewer_did AND received_us >= :since_us
ORDER BY event = 'interactionSeen', received_us DESC -- posts seen are many, and must not push out a "show less"
LIMIT :rows;
