-- Question: which likes does a day's first file of likes hold?
-- Reads: landed_words (of landing.sqlite), statements
-- Writes: day
-- Grain: one row per like record whose key stands for its rev
-- Parameters: none
-- Units: as in sql/landing/0002_like_words.sql
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE VIEW day AS
SELECT w.liker_id, w.rkey, w.author_id, w.post_rkey, w.seen_us
FROM landed_words AS w
ANTI JOIN statements AS s ON s.actor_id = w.liker_id AND s.rev > w.rev AND s.from_rkey <= w.rkey
WHERE is_ordinary(w.rkey, w.rev, w.author_id, w.marks);
