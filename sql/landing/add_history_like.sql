-- Question: which like was found that the stream has not shown? (Fetching it again changes nothing, unless the record
--   did.)
-- Reads: none
-- Writes: history_likes
-- Grain: one row per like record
-- Parameters: rkey, liker_id, author_id, post_rkey, seen_us
-- Units: seen_us is microseconds since 1970 (UTC)
INSERT INTO history_likes (rkey, liker_id, author_id, post_rkey, seen_us)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (rkey, liker_id) DO UPDATE SET author_id = excluded.author_id, post_rkey = excluded.post_rkey
WHERE author_id <> excluded.author_id OR post_rkey <> excluded.post_rkey
