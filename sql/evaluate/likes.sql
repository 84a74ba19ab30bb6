-- Question: who liked what, with posts numbered as items.sql orders them?
-- Reads: likes
-- Writes: nothing; returns the rows
-- Grain: one row a (liker, post)
-- Parameters: none
-- Units: item_no counts from 0; seen_us is microseconds since 1970 (UTC)

SELECT
  liker_id, dense_rank() OVER (ORDER BY post_rkey DESC, author_id) - 1 AS item_no, seen_us
FROM likes;
