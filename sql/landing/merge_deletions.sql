-- Question: up to which revision is each post gone?
-- Reads: staged_deletions. Writes: posts; a row of its own when the post was never seen.
INSERT INTO posts (rkey, author_id, created_us, seen_us, rev, deleted_rev, flags, langs)
SELECT rkey, author_id, 0, 0, 0, rev, 0, ''
FROM staged_deletions
WHERE true
ON CONFLICT (rkey, author_id) DO UPDATE SET deleted_rev = excluded.deleted_rev
WHERE excluded.deleted_rev > posts.deleted_rev
