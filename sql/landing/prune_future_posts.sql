-- Question: which posts with an rkey from the future are too old to be of use?
-- Writes: posts. Parameters: :after_rkey, :before_us. Few clients make such rkeys.
DELETE FROM posts WHERE rkey > :after_rkey AND seen_us < :before_us
