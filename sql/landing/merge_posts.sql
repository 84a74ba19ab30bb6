-- Question: what is the latest known of each post?
-- Reads: staged_posts
-- Writes: posts
-- Grain: one row per post; its deleted_rev stays
-- Parameters: none
-- Units: as in 0001_schema.sql
INSERT INTO posts (rkey, author_id, created_us, seen_us, rev, flags, langs)
SELECT rkey, author_id, created_us, seen_us, rev, flags, langs
FROM staged_posts
WHERE true
ORDER BY 1, 2
ON CONFLICT (rkey, author_id) DO UPDATE
SET created_us = iif(posts.rev > 0, min(posts.created_us, excluded.created_us), excluded.created_us),
    seen_us = iif(posts.rev > 0, min(posts.seen_us, excluded.seen_us), excluded.seen_us), rev = excluded.rev,
    flags = excluded.flags, langs = excluded.langs
WHERE excluded.rev > posts.rev
