-- Question: up to when is each post gone?
-- Reads: staged_deletions. Writes: posts; a row of its own when the post was never seen.
INSERT INTO posts (author_id, rkey, created_us, seen_us, deleted_us, flags, langs)
SELECT author_id, rkey, 0, 0, deleted_us, 0, ''
FROM staged_deletions
WHERE true
ON CONFLICT (author_id, rkey) DO UPDATE SET deleted_us = excluded.deleted_us
WHERE excluded.deleted_us > posts.deleted_us
