-- Question: what did the viewers like, at any time, whose newest likes are too few?
-- Reads: valid_likes, short_viewers (liker_id)
-- Writes: none
-- Grain: one row per (post, liker), by post
-- Parameters: first_author, last_author
-- Units: seen_us is that of the earliest like record, microseconds since 1970 (UTC)
SELECT l.author_id, l.post_rkey, l.liker_id, min(l.seen_us) AS seen_us
FROM valid_likes AS l
SEMI JOIN short_viewers AS s ON s.liker_id = l.liker_id
WHERE l.author_id BETWEEN getvariable('first_author') AND getvariable('last_author')
GROUP BY l.author_id, l.post_rkey, l.liker_id
ORDER BY l.author_id, l.post_rkey, l.liker_id;
