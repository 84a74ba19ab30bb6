-- Question: up to which revision is each repost gone?
-- Writes: reposts; a row of its own when the repost was never seen. Parameters: rkey, reposter_id, seen_us, deleted_rev.
INSERT INTO reposts (rkey, reposter_id, author_id, post_rkey, seen_us, rev, deleted_rev)
VALUES (?, ?, 0, 0, ?, 0, ?)
ON CONFLICT (rkey, reposter_id) DO UPDATE SET deleted_rev = excluded.deleted_rev
WHERE excluded.deleted_rev > reposts.deleted_rev
