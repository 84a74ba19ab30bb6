-- Question: which likes of days that have no file in the lake are there?
-- Reads: open_words (of landing.sqlite), statements
-- Writes: none
-- Grain: one row per like record
-- Parameters: none
-- Units: as in sql/landing/0002_like_words.sql
SELECT
  w.liker_id::INTEGER AS liker_id, w.rkey::BIGINT AS rkey, w.author_id::INTEGER AS author_id,
  w.post_rkey::BIGINT AS post_rkey, w.seen_us::BIGINT AS seen_us,
  is_claimed(w.rkey, w.seen_us, w.marks) AS claimed
FROM open_words AS w
ANTI JOIN statements AS s ON s.actor_id = w.liker_id AND s.rev > w.rev AND s.from_rkey <= w.rkey;
