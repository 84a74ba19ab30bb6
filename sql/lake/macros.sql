-- Question: how do likes and tombstones read that are stored in the lake?
-- Reads: nothing
-- Writes: nothing (macros lake_likes, lake_unlikes)
-- Grain: one row a like record, or a tombstone, from the Parquet files of a list of paths
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC). Stored are times relative to the post's own, which a TID
--   holds: since_post_us = seen_us - (post_rkey >> 10), lag_us = (rkey >> 10) - seen_us, clock = rkey & 1023

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
