-- Question: which likes were found that no stream of ours has shown?
-- Writes: history_likes. Parameters: rkey, liker_id, author_id, post_rkey, seen_us.
-- Fetching again changes nothing, unless the record now says something else.
INSERT INTO history_likes (rkey, liker_id, author_id, post_rkey, seen_us)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (rkey, liker_id) DO UPDATE SET author_id = excluded.author_id, post_rkey = excluded.post_rkey
WHERE author_id <> excluded.author_id OR post_rkey <> excluded.post_rkey
