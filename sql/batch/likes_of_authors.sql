-- Question: who likes the posts of a range of authors?
-- Reads: valid_likes
-- Writes: none
-- Grain: one row per like record; those of one (post, liker) are together, the earliest first
-- Parameters: first_author, last_author
-- Units: seen_us is microseconds since 1970 (UTC)
SELECT author_id, post_rkey, liker_id, seen_us
FROM valid_likes
WHERE author_id BETWEEN getvariable('first_author') AND getvariable('last_author')
ORDER BY author_id, post_rkey, liker_id, seen_us;
