-- Question: what does a run start from?
-- Reads: none
-- Writes: like_records, claimed_likes, changes, statements, degrees, forecast_trees, posts, actors, visits, interactions,
--   own_settings, ruled_accounts, ruled_posts, withheld
-- Grain: as in landing.sqlite, activity.sqlite and removals.sqlite, whose rows the snapshot copies here
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)

-- Like records of open days and of the lake that no unlike undoes; in a run, a view over both replaces this table.
CREATE OR REPLACE TABLE like_records (
  liker_id INTEGER, rkey BIGINT, author_id INTEGER, post_rkey BIGINT, seen_us BIGINT);
-- Those of them whose time only their owner's repository tells, by their key (sql/lake/claimed_likes.sql).
CREATE OR REPLACE TABLE claimed_likes (liker_id INTEGER, rkey BIGINT, reported_us BIGINT);
-- What was reported of closed days since their files of likes were written (sql/lake/changed_likes.sql), and the actors whose
-- earlier records are void (sql/landing/0002_like_words.sql): what they undo is not in like_records.
CREATE OR REPLACE TABLE changes (liker_id INTEGER, rkey BIGINT, rev BIGINT);
CREATE OR REPLACE TABLE statements (actor_id INTEGER, from_rkey BIGINT, rev BIGINT);
-- How many likes every liker has, and since when, where like_records holds only some of their likes; else empty.
CREATE OR REPLACE TABLE degrees (liker_id INTEGER, likes INTEGER, first_us BIGINT);
CREATE OR REPLACE TABLE posts (
  author_id INTEGER, rkey BIGINT, created_us BIGINT, seen_us BIGINT, deleted BOOLEAN, flags INTEGER,
  langs VARCHAR);
CREATE OR REPLACE TABLE actors (actor_id INTEGER, did VARCHAR, status INTEGER, deleted_us BIGINT);
CREATE OR REPLACE TABLE visits (viewer_did VARCHAR, languages VARCHAR, last_us BIGINT);
CREATE OR REPLACE TABLE interactions (viewer_did VARCHAR, post_uri VARCHAR, event VARCHAR);
-- Who set something for themselves at the pages, who of them wants no list for now, and their own parameters of the ranking
-- as an object of JSON.
CREATE OR REPLACE TABLE own_settings (viewer_did VARCHAR, is_paused BOOLEAN, ranking VARCHAR);
-- What the operator's rules say of accounts and posts, as whether they are blocked; else they are allowed.
-- From whom posts are withheld, and by which cause (pipeline/store/model.py); an rkey below 0 is all of an author's posts.
CREATE OR REPLACE TABLE withheld (author_id INTEGER, rkey BIGINT, cause INTEGER, level INTEGER);
CREATE OR REPLACE TABLE ruled_accounts (author_id INTEGER, blocked BOOLEAN);
CREATE OR REPLACE TABLE ruled_posts (author_id INTEGER, rkey BIGINT, blocked BOOLEAN);
-- What was learned of the past, a row a tree (pipeline/batch/forecast); none before there is enough of it.
CREATE OR REPLACE TABLE forecast_trees (
  tree INTEGER, made_us BIGINT, inputs VARCHAR[], thresholds DOUBLE[], leaves DOUBLE[]);
