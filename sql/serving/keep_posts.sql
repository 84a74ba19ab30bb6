-- Question: until when are the posts kept that a run has numbered, when it publishes later than it expected?
-- Reads: none
-- Writes: posts
-- Grain: one row per post
-- Parameters: :first (generation that the run numbered them for), :generation (that names them now), :kept_ahead (as in
--   publish_post)
-- Units: generations
UPDATE posts SET last_generation = :generation + :kept_ahead
WHERE last_generation >= :first AND last_generation < :generation;
