-- Question: what is known of some posts?
-- Reads: posts, temp.wanted_posts. Grain: one post that is known. Parameters: none.
SELECT p.author_id, p.rkey, p.created_us, p.seen_us, p.rev <= p.deleted_rev, p.flags, p.langs
FROM temp.wanted_posts AS w
CROSS JOIN posts AS p
WHERE p.rkey = w.post_rkey AND p.author_id = w.author_id
