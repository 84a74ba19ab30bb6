-- Question: how many of the batch's likes are of posts that the stream has not shown?
-- Reads: staged_words, posts
-- Writes: none
-- Grain: one number. Such likes count as taste; their posts are never candidates, since nothing is known of them
-- Parameters: none
-- Units: likes
SELECT count(*)
FROM staged_words AS staged
WHERE staged.author_id IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM posts
  WHERE posts.rkey = staged.post_rkey AND posts.author_id = staged.author_id AND posts.rev > 0
)
