-- Question: which posts was a viewer shown, and when?
-- Writes: impression_pages.
-- Parameters: :viewer_did, :feed_rkey, :generation of the list, :start position of the first post from 1, :posts
-- JSON array of 'AUTHOR_DID/RKEY', :sources a digit a post, :variant, :served_us microseconds since 1970.
INSERT INTO impression_pages (viewer_did, feed_rkey, generation, start, posts, sources, variant, served_us)
VALUES (:viewer_did, :feed_rkey, :generation, :start, :posts, :sources, :variant, :served_us);
