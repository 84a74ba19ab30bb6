-- Question: which posts are too old to be of use? (They are the front of the tree, which is sorted by rkey.)
-- Reads: none
-- Writes: posts
-- Grain: one row per post
-- Parameters: :before_rkey (the first to keep), :rows (about how many at most)
-- Units: none
DELETE FROM posts
WHERE rkey <= (
  SELECT max(rkey) FROM (SELECT rkey FROM posts WHERE rkey < :before_rkey ORDER BY rkey LIMIT :rows)
)
