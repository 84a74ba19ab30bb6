-- Question: what did viewers do with the feed? (activity.sqlite, written by the web app alone, read by the batch)
-- Reads: none
-- Writes: interactions, visits, impression_pages, impressions
-- Grain: given above each table
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)

-- A viewer's last event of a kind on a post; a repeated event changes received_us only.
-- event is the lexicon's name without its prefix, for instance 'requestLess' or 'interactionSeen'.
CREATE TABLE interactions (
  viewer_did   TEXT    NOT NULL,
  post_uri     TEXT    NOT NULL,
  event        TEXT    NOT NULL,
  feed_rkey    TEXT    NOT NULL,
  feed_context TEXT    NOT NULL,
  req_id       TEXT    NOT NULL,
  received_us  INTEGER NOT NULL,
  PRIMARY KEY (viewer_did, post_uri, event)
) WITHOUT ROWID;
CREATE INDEX interactions_by_time ON interactions (received_us);

-- Who requested which feed, so that the batch makes lists for viewers who come, the latest first.
CREATE TABLE visits (
  viewer_did TEXT    NOT NULL,
  feed_rkey  TEXT    NOT NULL,
  languages  TEXT    NOT NULL,   -- the last Accept-Language, as two-letter codes, 'en,pt'
  pages      INTEGER NOT NULL,   -- pages served, without polls
  first_us   INTEGER NOT NULL,
  last_us    INTEGER NOT NULL,
  PRIMARY KEY (viewer_did, feed_rkey)
) WITHOUT ROWID;

-- What viewers were shown: one row per page, so that a page of thirty posts costs one insert. Polls and previews are
-- not stored. Once lake/impressions has a day as Parquet, it is deleted here; the rest is bounded by number.
CREATE TABLE impression_pages (
  page_id    INTEGER PRIMARY KEY,
  viewer_did TEXT    NOT NULL,
  feed_rkey  TEXT    NOT NULL,
  generation INTEGER NOT NULL,   -- of the list the page came from
  start      INTEGER NOT NULL,   -- position of its first post in what the viewer sees, from 1
  posts      TEXT    NOT NULL,   -- JSON array of 'AUTHOR_DID/RKEY', in the order shown
  sources    TEXT    NOT NULL,   -- one digit per post, as in serving.sqlite: 1 co-likers, 2 popular, 3 trial
  variant    TEXT    NOT NULL,   -- of an experiment; '' outside one
  served_us  INTEGER NOT NULL
);
CREATE INDEX impression_pages_by_viewer ON impression_pages (viewer_did, served_us);
CREATE INDEX impression_pages_by_time ON impression_pages (served_us);

-- The same, one row per post: the columns of lake/impressions/day=YYYY-MM-DD/impressions.parquet.
CREATE VIEW impressions AS
SELECT
  viewer_did, feed_rkey, generation,
  start + post.key AS position,   -- counts from 1
  'at://' || replace(post.value, '/', '/app.bsky.feed.post/') AS post_uri,
  CAST(substr(sources, post.key + 1, 1) AS INTEGER) AS source,   -- 1 co-likers, 2 popular, 3 trial
  served_us, variant
FROM impression_pages, json_each(posts) AS post;
