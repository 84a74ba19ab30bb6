-- Question: what is the latest known of each post?
-- Reads: staged_posts. Writes: posts. A deletion's time stays: the post lives when seen_us > deleted_us.
INSERT INTO posts (author_id, rkey, created_us, seen_us, flags, langs)
SELECT author_id, rkey, created_us, seen_us, flags, langs
FROM staged_posts
WHERE true
ORDER BY 1, 2
ON CONFLICT (author_id, rkey) DO UPDATE
SET created_us = excluded.created_us, seen_us = excluded.seen_us, flags = excluded.flags, langs = excluded.langs
WHERE excluded.seen_us > posts.seen_us
