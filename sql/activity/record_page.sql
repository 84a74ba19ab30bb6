-- Question: which posts was a viewer shown, and when?
-- Reads: none
-- Writes: impression_pages
-- Grain: one row per page
-- Parameters: :viewer_did, :feed_rkey, :generation (of the list), :start (position of the first post, from 1), :posts
--   (JSON array of 'AUTHOR_DID/RKEY'), :sources (a digit per post), :variant, :served_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO impression_pages (viewer_did, feed_rkey, generation, start, posts, sources, variant, served_us)
VALUES (:viewer_did, :feed_rkey, :generation, :start, :posts, :sources, :variant, :served_us);
