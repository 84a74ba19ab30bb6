-- Question: which like records will there be once every day is merged?
-- Reads: all_landed (words of landing.sqlite), all_lake_changes, all_lake_likes, statements
-- Writes: none
-- Grain: one row per like record
-- Parameters: none
-- Units: as in sql/landing/0002_like_words.sql
WITH words AS (
  SELECT liker_id, rkey, rev, author_id, post_rkey, 2 AS place FROM all_landed
  UNION ALL
  SELECT liker_id, rkey, rev, author_id, post_rkey, 1 FROM all_lake_changes
  UNION ALL
  SELECT liker_id, rkey, rkey, author_id, post_rkey, 0 FROM all_lake_likes
), last AS (
  SELECT *
  FROM words
  QUALIFY row_number() OVER (PARTITION BY liker_id, rkey ORDER BY rev DESC, place DESC) = 1
)
SELECT w.liker_id, w.rkey, w.author_id, w.post_rkey
FROM last AS w
ANTI JOIN statements AS s ON s.actor_id = w.liker_id AND s.rev > w.rev AND s.from_rkey <= w.rkey
WHERE w.author_id IS NOT NULL;
