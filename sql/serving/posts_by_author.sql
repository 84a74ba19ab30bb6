-- Question: which of these posts are by these authors?
-- Reads: posts
-- Writes: none
-- Grain: one row per stored post, in no order
-- Parameters: :authors (JSON array of author ids), :posts (JSON array of post ids)
-- Units: none
SELECT post_id
FROM posts
WHERE post_id IN (SELECT value FROM json_each(:posts))
  AND author_id IN (SELECT value FROM json_each(:authors));
