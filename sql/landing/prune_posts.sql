-- Question: which posts are too old to be of use?
-- Writes: posts. Parameters: :before_rkey the first rkey to keep, :rows about how many at most.
-- The tree is sorted by rkey, so this cuts its front.
DELETE FROM posts
WHERE rkey <= (
  SELECT max(rkey) FROM (SELECT rkey FROM posts WHERE rkey < :before_rkey ORDER BY rkey LIMIT :rows)
)
