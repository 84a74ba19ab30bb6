-- Question: up to which revision is each post deleted?
-- Reads: staged_deletions
-- Writes: posts
-- Grain: one row per post, also of a post that was never seen
-- Parameters: none
-- Units: as in 0001_schema.sql
INSERT INTO posts (rkey, author_id, created_us, seen_us, rev, deleted_rev, flags, langs)
SELECT rkey, author_id, 0, 0, 0, rev, 0, ''
FROM staged_deletions
WHERE true
ON CONFLICT (rkey, author_id) DO UPDATE SET deleted_rev = excluded.deleted_rev
WHERE excluded.deleted_rev > posts.deleted_rev
