-- Question: which posts of a batch were ever deleted, and are they now?
-- Reads: staged_deletions, staged_posts, posts
-- Writes: none
-- Grain: one row per post that was known before it was deleted
-- Parameters: none
-- Units: is_deleted is 1 for a post that is deleted, 0 for one that was made again
SELECT p.rkey, p.author_id, p.rev <= p.deleted_rev AS is_deleted
FROM (SELECT author_id, rkey FROM staged_deletions UNION SELECT author_id, rkey FROM staged_posts) AS s
JOIN posts AS p ON p.rkey = s.rkey AND p.author_id = s.author_id
WHERE p.rev > 0 AND p.deleted_rev > 0
