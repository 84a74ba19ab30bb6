-- Question: what was reported of closed days that their files of likes do not say?
-- Reads: late_words (words in landing.sqlite that are in no file), file_changes (rows of files of changes; of those that
--   are settled, the ones about records that late_words says a repository lists), statements
-- Writes: changes, changed_likes
-- Grain: changes: words, a record may have several; changed_likes: one row per like record
-- Parameters: none
-- Units: as in sql/landing/0002_like_words.sql
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us, claimed BOOLEAN

-- A like of a file of likes is removed by a change that has its key and a rev from its key on: its own rev is the time in
-- its key.
CREATE OR REPLACE VIEW changes AS
SELECT liker_id, rkey, rev FROM late_words
UNION ALL
SELECT liker_id, rkey, rev FROM file_changes;

CREATE OR REPLACE VIEW changed_likes AS
SELECT c.liker_id, c.rkey, c.author_id, c.post_rkey, c.seen_us, is_claimed(c.rkey, c.seen_us, c.marks) AS claimed
FROM (
  SELECT w.* FROM late_words AS w
  ANTI JOIN file_changes AS f ON f.liker_id = w.liker_id AND f.rkey = w.rkey AND f.rev > w.rev
  WHERE w.marks & 2 <> 0   -- reported by the owner's repository: others wait for a merge (pipeline/lake/reader.py)
  UNION ALL
  SELECT f.* FROM file_changes AS f
  -- a word that says the same again hides nothing
  ANTI JOIN late_words AS w ON w.liker_id = f.liker_id AND w.rkey = f.rkey
    AND (
      w.marks & 2 <> 0
      OR coalesce(w.author_id, 0) <> coalesce(f.author_id, 0) OR coalesce(w.post_rkey, 0) <> coalesce(f.post_rkey, 0)
    )
    AND (
      w.rev > f.rev
      OR (w.rev = f.rev AND (w.marks & 2 <> 0 OR w.seen_us + (w.author_id IS NOT NULL)::INTEGER > f.seen_us))
    )
) AS c
ANTI JOIN statements AS s ON s.actor_id = c.liker_id AND s.rev > c.rev AND s.from_rkey <= c.rkey
WHERE c.author_id IS NOT NULL;
