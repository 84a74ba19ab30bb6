-- Question: which posts with an rkey from the future (few clients make such rkeys) are too old to be of use?
-- Reads: none
-- Writes: posts
-- Grain: one row per post
-- Parameters: :after_rkey, :before_us
-- Units: before_us is microseconds since 1970 (UTC)
DELETE FROM posts WHERE rkey > :after_rkey AND seen_us < :before_us
