-- Question: until when are the posts kept that a run named, where it publishes later than it thought?
-- Reads: posts
-- Writes: posts
-- Grain: one post
-- Parameters: :first the generation with which the run named its posts, :generation that names them now, :kept_ahead as
--   for publish_post
-- Units: none

UPDATE posts SET last_generation = :generation + :kept_ahead
WHERE last_generation >= :first AND last_generation < :generation;
