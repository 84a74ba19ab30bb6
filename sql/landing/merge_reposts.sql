-- Question: which reposts are there, by the latest word on each?
-- Writes: reposts. Parameters: rkey, reposter_id, author_id, post_rkey, seen_us, rev. A deletion's rev stays.
INSERT INTO reposts (rkey, reposter_id, author_id, post_rkey, seen_us, rev)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (rkey, reposter_id) DO UPDATE
SET author_id = excluded.author_id, post_rkey = excluded.post_rkey, seen_us = excluded.seen_us, rev = excluded.rev
WHERE excluded.rev > reposts.rev
