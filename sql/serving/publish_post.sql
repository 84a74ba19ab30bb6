-- Question: which number do lists use for a post? A post keeps its number while any list may name it.
-- Reads: posts
-- Writes: posts, only what is new, would be forgotten, or, in a run for everybody, has gathered likers
-- Grain: one post
-- Parameters: :author_id, :rkey, :uri, :created_us, :likers, :generation that names it, :kept_ahead how many
--   generations longer a post is kept, so that its row need not be written for each, :everybody 1 where lists are
--   everybody's
-- Units: created_us is microseconds since 1970 (UTC)

INSERT INTO posts (author_id, rkey, uri, created_us, likers, last_generation)
VALUES (:author_id, :rkey, :uri, :created_us, :likers, :generation + :kept_ahead)
ON CONFLICT (author_id, rkey) DO UPDATE SET
  uri = excluded.uri,
  created_us = excluded.created_us,
  likers = excluded.likers,
  last_generation = excluded.last_generation
WHERE posts.last_generation < :generation OR :everybody AND excluded.likers <> posts.likers;
