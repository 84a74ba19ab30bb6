-- Question: which posts are by these authors?
-- Reads: posts. Grain: a row for each post that is still stored, in no order.
-- Parameters: :authors JSON array of author ids.
SELECT post_id
FROM posts
WHERE author_id IN (SELECT value FROM json_each(:authors));
