-- Question: which posts have been liked, and what is known of each?
-- Reads: likes, posts
-- Writes: nothing; returns the rows
-- Grain: one row a liked post, newest rkey first and then by author_id, as posts are numbered in the batch
-- Parameters: none
-- Units: made_us is microseconds since 1970 (UTC), by the post's key where the store does not know the post;
--   listable: known, top-level, without adult or !hide label (REPLY, ADULT, HIDE: pipeline/store/model.py)

WITH liked AS (
  SELECT DISTINCT author_id, post_rkey FROM likes
)
SELECT
  l.post_rkey, coalesce(p.created_us, l.post_rkey >> 10) AS made_us, l.author_id,
  coalesce(p.seen_us > 0 AND NOT p.deleted AND p.flags & 7 = 0, false) AS listable,
  coalesce(p.langs, '') AS langs
FROM liked AS l
LEFT JOIN posts AS p ON p.author_id = l.author_id AND p.rkey = l.post_rkey
ORDER BY l.post_rkey DESC, l.author_id;
