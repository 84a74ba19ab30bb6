-- Question: which one word counts about each record, of those of landing.sqlite and those that an archive tells besides?
-- Reads: archived_words (any number a record; landed_words has those of landing.sqlite, one a record)
-- Writes: landed_words
-- Grain: one row per like record
-- Parameters: none
-- Units: as in sql/landing/0002_like_words.sql, and by the rule of sql/landing/settle_words.sql
-- Columns: liker_id, rkey, rev, author_id, post_rkey, seen_us, marks
CREATE OR REPLACE TABLE landed_words AS
WITH words AS (
  SELECT liker_id, rkey, rev, author_id, post_rkey, seen_us, marks FROM landed_words
  UNION ALL
  SELECT liker_id, rkey, rev, author_id, post_rkey, seen_us, marks FROM archived_words
), several AS (
  SELECT
    liker_id, rkey,
    max(rev) > min(rev) OR count(DISTINCT (coalesce(author_id, 0), coalesce(post_rkey, 0))) > 1 AS differ
  FROM words
  GROUP BY liker_id, rkey
  HAVING count(*) > 1
), compared AS (
  SELECT w.*, s.differ,
    min(CASE WHEN w.marks & 2 = 0 THEN w.seen_us END) OVER same AS stream_seen_us,
    bit_or(w.marks & 1) OVER same AS is_again, bit_and(w.marks & 2) OVER same AS is_fetched
  FROM words AS w
  JOIN several AS s ON s.liker_id = w.liker_id AND s.rkey = w.rkey
  WINDOW same AS (PARTITION BY w.liker_id, w.rkey, w.author_id, w.post_rkey)
  QUALIFY row_number() OVER (
    PARTITION BY w.liker_id, w.rkey ORDER BY w.rev DESC, w.seen_us DESC, w.author_id IS NULL, w.marks
  ) = 1
)
SELECT w.* FROM words AS w ANTI JOIN several AS s ON s.liker_id = w.liker_id AND s.rkey = w.rkey
UNION ALL
SELECT
  liker_id, rkey, rev, author_id, post_rkey,
  CASE WHEN marks & 2 <> 0 THEN coalesce(stream_seen_us, seen_us) ELSE seen_us END AS seen_us,
  (is_again | is_fetched | differ::INTEGER)::SMALLINT AS marks
FROM compared;
