-- Question: what is known of the wanted posts?
-- Reads: temp.wanted_posts, posts
-- Writes: none
-- Grain: one row per known post
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)
SELECT p.author_id, p.rkey, p.created_us, p.seen_us, p.rev <= p.deleted_rev, p.flags, p.langs
FROM temp.wanted_posts AS w
CROSS JOIN posts AS p
WHERE p.rkey = w.post_rkey AND p.author_id = w.author_id
