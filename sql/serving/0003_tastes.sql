-- Who likes a post, in 64 bits: of two posts that the same kind of people like, most bits agree. Written by runs for
-- everybody, for posts that lists name; the web app compares them when a viewer answers posts with "show less".
CREATE TABLE tastes (
  post_id INTEGER PRIMARY KEY,
  sketch  INTEGER NOT NULL
);
