-- Question: what did a viewer do with a post, and when last? A repeated event changes its time alone.
-- Writes: interactions.
-- Parameters: :viewer_did, :post_uri, :event (the lexicon's name without its prefix), :feed_rkey, :feed_context,
-- :req_id, :received_us microseconds since 1970.
INSERT INTO interactions (viewer_did, post_uri, event, feed_rkey, feed_context, req_id, received_us)
VALUES (:viewer_did, :post_uri, :event, :feed_rkey, :feed_context, :req_id, :received_us)
ON CONFLICT (viewer_did, post_uri, event) DO UPDATE SET
  received_us = max(received_us, excluded.received_us);
