-- Question: which number do lists use for a post? A post keeps its number while any list may name it.
-- Reads: posts
-- Writes: posts
-- Grain: one post
-- Parameters: :author_id, :rkey, :uri, :created_us, :likers, :generation
-- Units: created_us is microseconds since 1970 (UTC)

INSERT INTO posts (author_id, rkey, uri, created_us, likers, last_generation)
VALUES (:author_id, :rkey, :uri, :created_us, :likers, :generation)
ON CONFLICT (author_id, rkey) DO UPDATE SET
  uri = excluded.uri,
  created_us = excluded.created_us,
  likers = excluded.likers,
  last_generation = excluded.last_generation;
