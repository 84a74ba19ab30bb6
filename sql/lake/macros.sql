-- Question: how are likes and changes of the lake read?
-- Reads: none
-- Writes: lake_likes, lake_changes, is_ordinary, is_later, is_claimed
-- Grain: one row per like record in Parquet files, given as a list of paths
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC). Files of likes hold times relative to the post's, which its rkey tells:
--   since_post_us = seen_us - (post_rkey >> 10), lag_us = (rkey >> 10) - seen_us, clock = rkey & 1023. rev as in
--   sql/landing/0001_schema.sql
CREATE OR REPLACE MACRO lake_likes(files) AS TABLE
SELECT
  liker_id,
  ((post_rkey >> 10) + since_post_us + lag_us) * 1024 + clock AS rkey,
  author_id,
  post_rkey,
  (post_rkey >> 10) + since_post_us AS seen_us
FROM read_parquet(files, hive_partitioning = false);

-- What the likes file of its day does not say: the last word about a record that is deleted (author_id NULL), or whose rev
-- its key does not tell. settled: the likes file was written since, without the record.
CREATE OR REPLACE MACRO lake_changes(files) AS TABLE
SELECT liker_id, rkey, rev, author_id, post_rkey, seen_us, marks, settled
FROM read_parquet(files, hive_partitioning = false);

-- A like whose key stands for its rev: it is in a file of likes, without one (ORDINARY_US in pipeline/store/model.py).
CREATE OR REPLACE MACRO is_ordinary(rkey, rev, author_id, marks) AS
  author_id IS NOT NULL AND marks = 0 AND rev >= rkey AND rev < rkey + 1024000000;
-- A word that is later than an ordinary like with its key, if there is one.
CREATE OR REPLACE MACRO is_later(rkey, rev, author_id, marks) AS
  rev >= rkey AND (author_id IS NULL OR marks <> 0 OR rev >= rkey + 1024000000);
-- A like whose time only its owner's repository tells, by the record's key; one that a stream reported has the stream's.
CREATE OR REPLACE MACRO is_claimed(rkey, seen_us, marks) AS marks & 2 <> 0 AND (rkey < 0 OR seen_us = rkey >> 10);
