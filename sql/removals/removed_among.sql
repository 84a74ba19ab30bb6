-- Question: which of some record keys are of posts that were deleted?
-- Reads: removed_posts
-- Writes: none
-- Grain: one row per deleted post
-- Parameters: :rkeys (JSON array of record keys)
-- Units: none
SELECT author_id, rkey
FROM removed_posts
WHERE rkey IN (SELECT value FROM json_each(:rkeys));
