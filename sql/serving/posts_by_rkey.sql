-- Question: which posts have these record keys? (Authors may share one: compare the at-uri.)
-- Reads: posts
-- Writes: none
-- Grain: one row per stored post, in no order
-- Parameters: :rkeys (JSON array of TIDs as numbers)
-- Units: none
SELECT post_id, author_id, uri
FROM posts
WHERE rkey IN (SELECT value FROM json_each(:rkeys));
