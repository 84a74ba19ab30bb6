-- Question: what did a viewer do with a post, and when last? (A repeated event changes only its time.)
-- Reads: none
-- Writes: interactions
-- Grain: one row per (viewer, post, event)
-- Parameters: :viewer_did, :post_uri, :event (the lexicon's name without its prefix), :feed_rkey, :feed_context,
--   :req_id, :received_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO interactions (viewer_did, post_uri, event, feed_rkey, feed_context, req_id, received_us)
VALUES (:viewer_did, :post_uri, :event, :feed_rkey, :feed_context, :req_id, :received_us)
ON CONFLICT (viewer_did, post_uri, event) DO UPDATE SET
  received_us = max(received_us, excluded.received_us);
