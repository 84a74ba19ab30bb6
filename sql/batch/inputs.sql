-- Question: what does a run start from?
-- Reads: none
-- Writes: like_records, unlikes, degrees, posts, actors, visits, interactions
-- Grain: as in landing.sqlite and activity.sqlite, whose rows the snapshot copies here
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)

-- Like records of open days and of the lake that no unlike undoes; in a run, a view over both replaces this table.
CREATE OR REPLACE TABLE like_records (
  liker_id INTEGER, rkey BIGINT, author_id INTEGER, post_rkey BIGINT, seen_us BIGINT);
-- Tombstones of closed days' likes; what they undo is not in like_records.
CREATE OR REPLACE TABLE unlikes (liker_id INTEGER, rkey BIGINT, seen_us BIGINT);
-- How many likes every liker has, and since when, where like_records holds only some of their likes; else empty.
CREATE OR REPLACE TABLE degrees (liker_id INTEGER, likes INTEGER, first_us BIGINT);
CREATE OR REPLACE TABLE posts (
  author_id INTEGER, rkey BIGINT, created_us BIGINT, seen_us BIGINT, deleted BOOLEAN, flags INTEGER,
  langs VARCHAR);
CREATE OR REPLACE TABLE actors (actor_id INTEGER, did VARCHAR, status INTEGER, deleted_us BIGINT);
CREATE OR REPLACE TABLE visits (viewer_did VARCHAR, languages VARCHAR, last_us BIGINT);
CREATE OR REPLACE TABLE interactions (viewer_did VARCHAR, post_uri VARCHAR, event VARCHAR);
