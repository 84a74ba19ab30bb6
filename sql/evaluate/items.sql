-- Question: which posts have been liked, and what is known of each?
-- Reads: likes, posts
-- Writes: items
-- Grain: one row per liked post
-- Parameters: none
-- Units: item_no counts from 0, newest key first and then by author. made_us is microseconds since 1970 (UTC), from the
--   key where the store does not know the post. listable: known, top-level, without an adult or !hide label
-- Columns: item_no, key BIGINT (rkey), made_us, author INTEGER, listable BOOLEAN, langs ('' for none)
CREATE OR REPLACE TABLE items AS
WITH liked AS (
  SELECT DISTINCT author_id, post_rkey FROM likes
)
SELECT
  (row_number() OVER (ORDER BY l.post_rkey DESC, l.author_id) - 1)::INTEGER AS item_no,
  l.post_rkey AS key, coalesce(p.created_us, l.post_rkey >> 10) AS made_us, l.author_id AS author,
  coalesce(p.seen_us > 0 AND NOT p.deleted AND p.flags & 263 = 0, false) AS listable,
  coalesce(p.langs, '') AS langs
FROM liked AS l
LEFT JOIN posts AS p ON p.author_id = l.author_id AND p.rkey = l.post_rkey;
