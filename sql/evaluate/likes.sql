-- Question: who liked what, in the order of time?
-- Reads: likes, items
-- Writes: nothing; returns the rows
-- Grain: one row a (liker, post)
-- Parameters: none
-- Units: seen_us is microseconds since 1970 (UTC)

SELECT l.liker_id, i.item_no, l.seen_us
FROM likes AS l
JOIN items AS i ON i.author_id = l.author_id AND i.post_rkey = l.post_rkey
ORDER BY l.seen_us, l.liker_id, i.item_no;
