-- Question: which posts have been liked, and what is known of each?
-- Reads: likes, posts
-- Writes: items
-- Grain: one row a liked post, numbered from 0 by rkey descending and then author_id, as in the batch
-- Parameters: none
-- Units: made_us is microseconds since 1970 (UTC), by the post's key where the store does not know the post;
--   listable: known, top-level, without adult or !hide label (REPLY, ADULT, HIDE: pipeline/store/model.py); langs as
--   the post has them, '' for none

CREATE OR REPLACE TABLE items AS
WITH liked AS (
  SELECT DISTINCT author_id, post_rkey FROM likes
)
SELECT
  (row_number() OVER (ORDER BY l.post_rkey DESC, l.author_id) - 1)::INTEGER AS item_no,
  l.post_rkey AS key, coalesce(p.created_us, l.post_rkey >> 10) AS made_us, l.author_id AS author,
  coalesce(p.seen_us > 0 AND NOT p.deleted AND p.flags & 7 = 0, false) AS listable,
  coalesce(p.langs, '') AS langs
FROM liked AS l
LEFT JOIN posts AS p ON p.author_id = l.author_id AND p.rkey = l.post_rkey;
