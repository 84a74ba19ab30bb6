-- Question: which number do lists use for a post? (It keeps its number while any list may name it.)
-- Reads: none
-- Writes: posts (new ones, those that would be deleted and, in a run for everybody, those with other likers)
-- Grain: one row per post
-- Parameters: :author_id, :rkey, :uri, :created_us, :likers, :langs, :media, :generation (that names it), :kept_ahead (generations that
--   it is kept longer, so that its row need not be written for each), :everybody (1 in a run for everybody)
-- Units: created_us is microseconds since 1970 (UTC)
INSERT INTO posts (author_id, rkey, uri, created_us, likers, langs, media, last_generation)
VALUES (:author_id, :rkey, :uri, :created_us, :likers, :langs, :media, :generation + :kept_ahead)
ON CONFLICT (author_id, rkey) DO UPDATE SET
  uri = excluded.uri,
  created_us = excluded.created_us,
  likers = excluded.likers,
  langs = excluded.langs,
  media = excluded.media,
  last_generation = excluded.last_generation
WHERE posts.last_generation < :generation OR :everybody AND (excluded.likers <> posts.likers OR posts.media IS NULL);
