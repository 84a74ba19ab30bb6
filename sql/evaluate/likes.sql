-- Question: who liked what, in the order of time?
-- Reads: likes, users, items, claimed
-- Writes: none
-- Grain: one row per (liker, post)
-- Parameters: none
-- Units: time_us is microseconds since 1970 (UTC)
SELECT u.user_no, i.item_no, l.seen_us AS time_us, c.liker_id IS NOT NULL AS claimed
FROM likes AS l
JOIN users AS u USING (liker_id)
JOIN items AS i ON i.author = l.author_id AND i.key = l.post_rkey
LEFT JOIN claimed AS c ON c.liker_id = l.liker_id AND c.author_id = l.author_id AND c.post_rkey = l.post_rkey
ORDER BY l.seen_us, u.user_no, i.item_no;
