-- Question: how are likes and tombstones of the lake read?
-- Reads: none
-- Writes: lake_likes, lake_unlikes
-- Grain: one row per like record or tombstone in Parquet files, given as a list of paths
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC). Files hold times relative to the post's, which its rkey tells:
--   since_post_us = seen_us - (post_rkey >> 10), lag_us = (rkey >> 10) - seen_us, clock = rkey & 1023
CREATE OR REPLACE MACRO lake_likes(files) AS TABLE
SELECT
  liker_id,
  ((post_rkey >> 10) + since_post_us + lag_us) * 1024 + clock AS rkey,
  author_id,
  post_rkey,
  (post_rkey >> 10) + since_post_us AS seen_us
FROM read_parquet(files, hive_partitioning = false);

CREATE OR REPLACE MACRO lake_unlikes(files) AS TABLE
SELECT liker_id, rkey, seen_us, filename AS file
FROM read_parquet(files, hive_partitioning = false, filename = true);
