-- Question: who liked what, in the order of time?
-- Reads: likes, users, items, claimed
-- Writes: none
-- Grain: one row per (liker, post)
-- Parameters: none
-- Units: microseconds since 1970 (UTC); reported_us is when a stream or an archive reported the like, as in claimed.sql
SELECT u.user_no, i.item_no, l.seen_us AS time_us, coalesce(c.reported_us, l.seen_us) AS reported_us
FROM likes AS l
JOIN users AS u USING (liker_id)
JOIN items AS i ON i.author = l.author_id AND i.key = l.post_rkey
LEFT JOIN claimed AS c ON c.liker_id = l.liker_id AND c.author_id = l.author_id AND c.post_rkey = l.post_rkey
ORDER BY l.seen_us, u.user_no, i.item_no;
