-- Question: when did a viewer last take back their answers to a post?
-- Reads: none
-- Writes: taken_back_posts
-- Grain: one row per viewer and post
-- Parameters: :viewer_did, :post_uri ('' for all picks), :at_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO taken_back_posts (viewer_did, post_uri, at_us) VALUES (:viewer_did, :post_uri, :at_us)
ON CONFLICT (viewer_did, post_uri) DO UPDATE SET at_us = max(at_us, excluded.at_us)
