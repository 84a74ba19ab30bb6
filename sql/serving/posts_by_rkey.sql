-- Question: which posts have these record keys? Authors may share one: compare the at-uri.
-- Reads: posts. Grain: a row for each post that is still stored, in no order.
-- Parameters: :rkeys JSON array of TIDs as numbers.
SELECT post_id, author_id, uri
FROM posts
WHERE rkey IN (SELECT value FROM json_each(:rkeys));
