-- Question: who liked the wanted posts, of the days that landing.sqlite holds and the lake does not?
-- Reads: likes, temp.wanted_posts, temp.closed_days, history_likes
-- Writes: none
-- Grain: one row per like record
-- Parameters: :first_day, :first_us, :first_rkey
-- Units: as in likes_of_likers.sql
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM likes AS l
CROSS JOIN temp.wanted_posts AS w   -- in this order: likes has no index on posts
WHERE l.day >= :first_day AND l.day NOT IN (SELECT day FROM temp.closed_days)
  AND w.post_rkey = l.post_rkey AND w.author_id = l.author_id
UNION ALL
SELECT h.liker_id, h.rkey, h.author_id, h.post_rkey, h.seen_us
FROM history_likes AS h
CROSS JOIN temp.wanted_posts AS w
WHERE h.rkey >= :first_rkey AND h.seen_us >= :first_us
  AND w.post_rkey = h.post_rkey AND w.author_id = h.author_id
