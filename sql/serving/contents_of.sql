-- Question: in which languages are some posts, and what is in them?
-- Reads: posts
-- Writes: none
-- Grain: one row per stored post of which that is known, in no order
-- Parameters: :posts (JSON array of post ids)
-- Units: media as in 0003_post_contents.sql
SELECT post_id, langs, media
FROM posts
WHERE post_id IN (SELECT value FROM json_each(:posts)) AND media IS NOT NULL;
