-- Question: who liked the wanted posts, of the days that have no file in the lake?
-- Reads: like_words, temp.wanted_posts, temp.closed_days
-- Writes: none
-- Grain: one row per like record
-- Parameters: :first_rkey, :named_rkey
-- Units: as in likes_of_likers.sql
SELECT l.liker_id, l.rkey, l.rev, l.author_id, l.post_rkey, l.seen_us, l.marks
FROM like_words AS l
CROSS JOIN temp.wanted_posts AS w   -- in this order: like_words has no index on posts
WHERE (l.rkey >= :first_rkey OR l.rkey < :named_rkey)
  AND w.post_rkey = l.post_rkey AND w.author_id = l.author_id
  AND NOT EXISTS (SELECT 1 FROM temp.closed_days AS c WHERE l.rkey >= c.from_rkey AND l.rkey < c.until_rkey)
