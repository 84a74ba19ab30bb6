-- Question: which posts are too old to be of use? An old key says nothing of a post that came lately: somebody moved it
--   here. That a post is deleted is known as long as likes of it count.
-- Reads: none
-- Writes: posts
-- Grain: one row per post
-- Parameters: :from_rkey, :until_rkey (the keys to look at), :before_us, :deletions_before_rkey
-- Units: before_us is microseconds since 1970 (UTC)
DELETE FROM posts
WHERE rkey >= :from_rkey AND rkey < :until_rkey AND seen_us < :before_us
  AND (deleted_rev < rev OR deleted_rev = 0 OR rkey < :deletions_before_rkey)
